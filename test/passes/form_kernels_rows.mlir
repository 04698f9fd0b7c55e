// RUN: neo-opt --neo-form-kernels %s | FileCheck %s
// RUN: neo-opt --neo-form-kernels=max-ops=1 %s | FileCheck %s --check-prefix=ALONE

// Operations over the same rows are one kernel: the maximum and what is subtracted from.
// CHECK:     call @row_
// CHECK-NOT: call
// CHECK:     module attributes {neo.kernel}

// ALONE:     call @row_
// ALONE:     call @elementwise_
#id = affine_map<(r, c) -> (r, c)>
#row = affine_map<(r, c) -> (r)>
func.func @main(%x: tensor<8x32xf32>) -> tensor<8x32xf32> {
  %low = arith.constant 0xFF800000 : f32
  %er = tensor.empty() : tensor<8xf32>
  %e = tensor.empty() : tensor<8x32xf32>
  %init = linalg.fill ins(%low : f32) outs(%er : tensor<8xf32>) -> tensor<8xf32>
  %max = linalg.generic {indexing_maps = [#id, #row], iterator_types = ["parallel", "reduction"]}
      ins(%x : tensor<8x32xf32>) outs(%init : tensor<8xf32>) {
  ^bb0(%a: f32, %acc: f32):
    %0 = arith.maximumf %a, %acc : f32
    linalg.yield %0 : f32
  } -> tensor<8xf32>
  %y = linalg.generic {indexing_maps = [#id, #row, #id], iterator_types = ["parallel", "parallel"]}
      ins(%x, %max : tensor<8x32xf32>, tensor<8xf32>) outs(%e : tensor<8x32xf32>) {
  ^bb0(%a: f32, %m: f32, %acc: f32):
    %0 = arith.subf %a, %m : f32
    linalg.yield %0 : f32
  } -> tensor<8x32xf32>
  return %y : tensor<8x32xf32>
}
