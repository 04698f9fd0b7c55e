// RUN: neo-opt --neo-plan-memory %s | FileCheck %s

// Two intermediates that do not live at once share their place; the last kernel writes to the caller's buffer.
// CHECK-LABEL: func.func @main
// CHECK-SAME:    (%[[X:.*]]: memref<64xf32> {neo.name = "x"}, %[[Y:.*]]: memref<64xf32> {neo.name = "y"}, %{{.*}}: memref<?xi8>, %[[ARENA:.*]]: memref<?xi8>, %[[RT:.*]]: !llvm.ptr)
// CHECK-SAME:    neo.arena = 512 : i64
// CHECK-DAG:     %[[ZERO:.*]] = arith.constant 0 : index
// CHECK-DAG:     %[[A:.*]] = memref.view %[[ARENA]][%[[ZERO]]]
// CHECK:         %[[ARGS:.*]] = builtin.unrealized_conversion_cast %[[X]], %[[A]] :
// CHECK:         "neo.dispatch"(%[[RT]], %{{.*}}, %[[ARGS]]) {kernel = @kernel}
// CHECK:         builtin.unrealized_conversion_cast %[[A]], %[[B:.*]] :
// CHECK:         builtin.unrealized_conversion_cast %[[B]], %[[C:.*]] :
// CHECK:         builtin.unrealized_conversion_cast %[[C]], %[[Y]] :
func.func private @kernel(tensor<64xf32>, tensor<64xf32>) -> tensor<64xf32>
func.func @main(%x: tensor<64xf32> {neo.name = "x"}) -> (tensor<64xf32> {neo.name = "y"}) {
  %e0 = tensor.empty() : tensor<64xf32>
  %0 = call @kernel(%x, %e0) : (tensor<64xf32>, tensor<64xf32>) -> tensor<64xf32>
  %e1 = tensor.empty() : tensor<64xf32>
  %1 = call @kernel(%0, %e1) : (tensor<64xf32>, tensor<64xf32>) -> tensor<64xf32>
  %e2 = tensor.empty() : tensor<64xf32>
  %2 = call @kernel(%1, %e2) : (tensor<64xf32>, tensor<64xf32>) -> tensor<64xf32>
  %e3 = tensor.empty() : tensor<64xf32>
  %3 = call @kernel(%2, %e3) : (tensor<64xf32>, tensor<64xf32>) -> tensor<64xf32>
  return %3 : tensor<64xf32>
}
module attributes {neo.kernel} {
  func.func private @kernel(memref<64xf32>, memref<64xf32>, index, index) attributes {neo.grid = 2 : i64}
}
