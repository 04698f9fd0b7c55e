// RUN: neo-opt --neo-pack-contractions=target=sapphirerapids %s | FileCheck %s
// RUN: neo-opt --neo-pack-contractions=target=x86-64-v3 %s | FileCheck %s --check-prefix=PLAIN

// For a dot-product unit neighbouring channels lie side by side in a panel; without one, panels are as for f32.
// CHECK: #[[PACKED:.*]] = affine_map<(d0, d1, d2) -> (d1 floordiv 32, d2 floordiv 2, d1 mod 32, d2 mod 2)>
// CHECK-LABEL: func.func @product
// CHECK: tensor.pad %{{.*}} low[0, 0] high[0, 24]
// CHECK: tensor.expand_shape %{{.*}} {{\[}}[0], [1, 2]] output_shape [8, 2, 32]
// CHECK: tensor.expand_shape %{{.*}} {{\[}}[0, 1], [2], [3]] output_shape [4, 2, 2, 32]
// CHECK: linalg.generic {{.*}} outs(%{{.*}} : tensor<2x4x32x2xbf16>)
// CHECK: linalg.generic {indexing_maps = [#{{.*}}, #[[PACKED]], #{{.*}}]
// PLAIN: affine_map<(d0, d1, d2) -> (d1 floordiv 8, d2, d1 mod 8)>
#a = affine_map<(d0, d1, d2) -> (d0, d2)>
#b = affine_map<(d0, d1, d2) -> (d2, d1)>
#c = affine_map<(d0, d1, d2) -> (d0, d1)>
ml_program.global private @w(#ml_program.extern) : tensor<8x40xbf16>
func.func @product(%x: tensor<4x8xbf16>) -> tensor<4x40xf32> {
  %zero = arith.constant 0.0 : f32
  %w = ml_program.global_load_const @w : tensor<8x40xbf16>
  %e = tensor.empty() : tensor<4x40xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<4x40xf32>) -> tensor<4x40xf32>
  %c = linalg.generic {indexing_maps = [#a, #b, #c], iterator_types = ["parallel", "parallel", "reduction"]} ins(%x, %w : tensor<4x8xbf16>, tensor<8x40xbf16>) outs(%f : tensor<4x40xf32>) {
  ^bb0(%p: bf16, %q: bf16, %s: f32):
    %0 = arith.extf %p : bf16 to f32
    %1 = arith.extf %q : bf16 to f32
    %2 = arith.mulf %0, %1 : f32
    %3 = arith.addf %s, %2 : f32
    linalg.yield %3 : f32
  } -> tensor<4x40xf32>
  return %c : tensor<4x40xf32>
}
