// RUN: neo-opt --neo-pack-contractions="target=x86-64-v3 panels=4x40x8-84f62ac0:24" %s | FileCheck %s

// Panels of as many columns as were chosen for the contraction by its signature; the last is padded.
// CHECK: #[[PACKED:.*]] = affine_map<(d0, d1, d2) -> (d1 floordiv 24, d2, d1 mod 24)>
// CHECK-LABEL: func.func @weights
// CHECK: linalg.generic {{.*}} outs(%{{.*}} : tensor<2x8x24xf32>)
// CHECK: linalg.generic {indexing_maps = [#{{.*}}, #[[PACKED]], #{{.*}}]
#a = affine_map<(d0, d1, d2) -> (d0, d2)>
#b = affine_map<(d0, d1, d2) -> (d2, d1)>
#c = affine_map<(d0, d1, d2) -> (d0, d1)>

ml_program.global private @w(#ml_program.extern) : tensor<8x40xf32>

func.func @weights(%x: tensor<4x8xf32>) -> tensor<4x40xf32> {
  %zero = arith.constant 0.0 : f32
  %w = ml_program.global_load_const @w : tensor<8x40xf32>
  %e = tensor.empty() : tensor<4x40xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<4x40xf32>) -> tensor<4x40xf32>
  %c = linalg.generic {indexing_maps = [#a, #b, #c], iterator_types = ["parallel", "parallel", "reduction"]} ins(%x, %w : tensor<4x8xf32>, tensor<8x40xf32>) outs(%f : tensor<4x40xf32>) {
  ^bb0(%p: f32, %q: f32, %s: f32):
    %0 = arith.mulf %p, %q : f32
    %1 = arith.addf %s, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<4x40xf32>
  return %c : tensor<4x40xf32>
}
