// RUN: neo-opt --neo-lower-precision="type=bf16 target=sapphirerapids" %s | FileCheck %s

// Two megabytes of f32 are more than half the second-level cache: what a residual sum reads is widened.
#a = affine_map<(d0, d1, d2) -> (d0, d2)>
#b = affine_map<(d0, d1, d2) -> (d2, d1)>
#c = affine_map<(d0, d1, d2) -> (d0, d1)>
#same = affine_map<(d0, d1) -> (d0, d1)>
ml_program.global private @w(#ml_program.extern) : tensor<8x8xf32>

// CHECK-LABEL: func.func @residual
// CHECK:         %[[Y:.*]] = linalg.generic {{.*}} outs(%{{.*}} : tensor<65536x8xbf16>)
// CHECK:           math.tanh {{.*}} : f32
// CHECK-NEXT:      arith.truncf
// CHECK:         linalg.generic {{.*}} ins(%{{.*}}, %[[Y]] : tensor<65536x8xf32>, tensor<65536x8xbf16>) outs(%{{.*}} : tensor<65536x8xf32>)
// CHECK:           arith.extf
// CHECK-NEXT:      arith.addf
func.func @residual(%x: tensor<65536x8xf32>) -> tensor<65536x8xf32> {
  %zero = arith.constant 0.0 : f32
  %w = ml_program.global_load_const @w : tensor<8x8xf32>
  %e = tensor.empty() : tensor<65536x8xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<65536x8xf32>) -> tensor<65536x8xf32>
  %y = linalg.generic {indexing_maps = [#same, #same], iterator_types = ["parallel", "parallel"]} ins(%x : tensor<65536x8xf32>) outs(%e : tensor<65536x8xf32>) {
  ^bb0(%p: f32, %o: f32):
    %0 = math.tanh %p : f32
    linalg.yield %0 : f32
  } -> tensor<65536x8xf32>
  %s = linalg.generic {indexing_maps = [#a, #b, #c], iterator_types = ["parallel", "parallel", "reduction"]} ins(%y, %w : tensor<65536x8xf32>, tensor<8x8xf32>) outs(%f : tensor<65536x8xf32>) {
  ^bb0(%p: f32, %q: f32, %o: f32):
    %0 = arith.mulf %p, %q : f32
    %1 = arith.addf %o, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<65536x8xf32>
  %r = linalg.generic {indexing_maps = [#same, #same, #same], iterator_types = ["parallel", "parallel"]} ins(%s, %y : tensor<65536x8xf32>, tensor<65536x8xf32>) outs(%e : tensor<65536x8xf32>) {
  ^bb0(%p: f32, %q: f32, %o: f32):
    %0 = arith.addf %p, %q : f32
    linalg.yield %0 : f32
  } -> tensor<65536x8xf32>
  return %r : tensor<65536x8xf32>
}
