// RUN: neo-opt --neo-plan-memory %s | FileCheck %s

// The operands of a concatenation lie in its memory, a slice in that of what it is taken from: of the arena, of the
// weights, or, at an offset, of a buffer of the caller's.
// CHECK-LABEL: func.func @main
// CHECK-SAME:    (%[[X:.*]]: memref<4x64xf32> {neo.name = "x"}, %[[Y:.*]]: memref<2x64xf32> {neo.name = "y"}, %[[W:.*]]: memref<?xi8>, %[[ARENA:.*]]: memref<?xi8>, %{{.*}}: !llvm.ptr)
// CHECK-SAME:    neo.arena = 512 : i64
// CHECK:         %[[PART:.*]] = memref.reinterpret_cast %[[X]] to offset: [64], sizes: [64], strides: [1] : memref<4x64xf32> to memref<64xf32, strided<[1], offset: 64>>
// CHECK:         %[[ROW:.*]] = memref.view %[[W]][%[[AT:.*]]][] : memref<?xi8> to memref<64xf32>
// CHECK:         %[[A:.*]] = memref.view %[[ARENA]][%[[ZERO:.*]]][] : memref<?xi8> to memref<64xf32>
// CHECK:         builtin.unrealized_conversion_cast %[[PART]], %[[ROW]], %[[A]] :
// CHECK:         %[[C256:.*]] = arith.constant 256 : index
// CHECK:         %[[B:.*]] = memref.view %[[ARENA]][%[[C256]]][] : memref<?xi8> to memref<64xf32>
// CHECK:         builtin.unrealized_conversion_cast %[[A]], %[[PART]], %[[B]] :
// CHECK:         %[[C:.*]] = memref.view %[[ARENA]][%{{.*}}][] : memref<?xi8> to memref<2x64xf32>
// CHECK:         %[[Y1:.*]] = memref.reinterpret_cast %[[Y]] to offset: [64], sizes: [64], strides: [1]
// CHECK:         builtin.unrealized_conversion_cast %{{.*}}, %{{.*}}, %[[Y1]] :
ml_program.global private @w(#ml_program.extern) : tensor<2x64xf32>
func.func private @kernel(tensor<64xf32>, tensor<64xf32>, tensor<64xf32>) -> tensor<64xf32>
func.func @main(%x: tensor<4x64xf32> {neo.name = "x"}) -> (tensor<2x64xf32> {neo.name = "y"}) {
  %w = ml_program.global_load_const @w : tensor<2x64xf32>
  %part = tensor.extract_slice %x[1, 0] [1, 64] [1, 1] : tensor<4x64xf32> to tensor<64xf32>
  %row = tensor.extract_slice %w[1, 0] [1, 64] [1, 1] : tensor<2x64xf32> to tensor<64xf32>
  %e0 = tensor.empty() : tensor<64xf32>
  %a = call @kernel(%part, %row, %e0) : (tensor<64xf32>, tensor<64xf32>, tensor<64xf32>) -> tensor<64xf32>
  %e1 = tensor.empty() : tensor<64xf32>
  %b = call @kernel(%a, %part, %e1) : (tensor<64xf32>, tensor<64xf32>, tensor<64xf32>) -> tensor<64xf32>
  %a1 = tensor.expand_shape %a [[0, 1]] output_shape [1, 64] : tensor<64xf32> into tensor<1x64xf32>
  %b1 = tensor.expand_shape %b [[0, 1]] output_shape [1, 64] : tensor<64xf32> into tensor<1x64xf32>
  %c = tensor.concat dim(0) %a1, %b1 : (tensor<1x64xf32>, tensor<1x64xf32>) -> tensor<2x64xf32>
  %c0 = tensor.extract_slice %c[0, 0] [1, 64] [1, 1] : tensor<2x64xf32> to tensor<64xf32>
  %c1 = tensor.extract_slice %c[1, 0] [1, 64] [1, 1] : tensor<2x64xf32> to tensor<64xf32>
  %e2 = tensor.empty() : tensor<64xf32>
  %d = call @kernel(%c0, %c1, %e2) : (tensor<64xf32>, tensor<64xf32>, tensor<64xf32>) -> tensor<64xf32>
  %e3 = tensor.empty() : tensor<64xf32>
  %f = call @kernel(%c1, %c0, %e3) : (tensor<64xf32>, tensor<64xf32>, tensor<64xf32>) -> tensor<64xf32>
  %d1 = tensor.expand_shape %d [[0, 1]] output_shape [1, 64] : tensor<64xf32> into tensor<1x64xf32>
  %f1 = tensor.expand_shape %f [[0, 1]] output_shape [1, 64] : tensor<64xf32> into tensor<1x64xf32>
  %g = tensor.concat dim(0) %d1, %f1 : (tensor<1x64xf32>, tensor<1x64xf32>) -> tensor<2x64xf32>
  return %g : tensor<2x64xf32>
}
module attributes {neo.kernel} {
  func.func private @kernel(memref<64xf32>, memref<64xf32>, memref<64xf32>, index, index) attributes {neo.grid = 2 : i64}
}
