// RUN: neo-opt --split-input-file --neo-form-kernels %s | FileCheck %s

// A pad that alone reads the result of a kernel is part of it: the result is written into its place at once.
// CHECK-LABEL: func.func @main
// CHECK:         call @elementwise
// CHECK-NOT:     call
// CHECK:       module attributes {neo.kernel}
// CHECK:         arith.maximumf
// CHECK:         tensor.pad
// CHECK:         bufferization.materialize_in_destination
#id = affine_map<(m, n) -> (m, n)>
func.func @main(%x: tensor<8x64xf32>) -> tensor<10x64xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<8x64xf32>
  %relu = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%x : tensor<8x64xf32>) outs(%e : tensor<8x64xf32>) {
  ^bb0(%a: f32, %acc: f32):
    %0 = arith.maximumf %a, %zero : f32
    linalg.yield %0 : f32
  } -> tensor<8x64xf32>
  %padded = tensor.pad %relu low[1, 0] high[1, 0] {
  ^bb0(%i: index, %j: index):
    tensor.yield %zero : f32
  } : tensor<8x64xf32> to tensor<10x64xf32>
  return %padded : tensor<10x64xf32>
}

// -----

// What is read besides by another operation stays whole.
// CHECK-LABEL: func.func @twice
// CHECK:         call @elementwise
// CHECK:         call @other
#id = affine_map<(m, n) -> (m, n)>
func.func @twice(%x: tensor<8x64xf32>) -> (tensor<8x64xf32>, tensor<10x64xf32>) {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<8x64xf32>
  %relu = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%x : tensor<8x64xf32>) outs(%e : tensor<8x64xf32>) {
  ^bb0(%a: f32, %acc: f32):
    %0 = arith.maximumf %a, %zero : f32
    linalg.yield %0 : f32
  } -> tensor<8x64xf32>
  %padded = tensor.pad %relu low[1, 0] high[1, 0] {
  ^bb0(%i: index, %j: index):
    tensor.yield %zero : f32
  } : tensor<8x64xf32> to tensor<10x64xf32>
  return %relu, %padded : tensor<8x64xf32>, tensor<10x64xf32>
}
