// RUN: neo-opt --neo-plan-memory %s | FileCheck %s

// A buffer of dynamic size comes from the runtime and goes back after its last use; a dynamic result is the runtime's.
// CHECK-LABEL: func.func @main
// CHECK:         %[[A:.*]] = call @neo_alloc(
// CHECK:         %[[V:.*]] = memref.view %[[A]]
// CHECK:         builtin.unrealized_conversion_cast %{{.*}}, %[[V]] :
// CHECK:         call @neo_output_1(
// CHECK:         builtin.unrealized_conversion_cast %[[V]], %{{.*}} :
// CHECK-NEXT:    "neo.dispatch"
// CHECK-NEXT:    call @neo_free(%{{.*}}, %[[A]])
func.func private @kernel(tensor<?xf32>, tensor<?xf32>) -> tensor<?xf32>
func.func @main(%x: tensor<?xf32> {neo.name = "x"}) -> (tensor<?xf32> {neo.name = "y"}) {
  %zero = arith.constant 0 : index
  %n = tensor.dim %x, %zero : tensor<?xf32>
  %e0 = tensor.empty(%n) : tensor<?xf32>
  %0 = call @kernel(%x, %e0) : (tensor<?xf32>, tensor<?xf32>) -> tensor<?xf32>
  %e1 = tensor.empty(%n) : tensor<?xf32>
  %1 = call @kernel(%0, %e1) : (tensor<?xf32>, tensor<?xf32>) -> tensor<?xf32>
  return %1 : tensor<?xf32>
}
module attributes {neo.kernel} {
  func.func private @kernel(memref<?xf32>, memref<?xf32>, index, index) attributes {neo.grid = 1 : i64}
}
