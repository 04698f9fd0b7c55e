// RUN: neo-opt --neo-pack-contractions=target=x86-64-v3 %s | FileCheck %s

#a = affine_map<(d0, d1, d2) -> (d0, d2)>
#b = affine_map<(d0, d1, d2) -> (d2, d1)>
#c = affine_map<(d0, d1, d2) -> (d0, d1)>

ml_program.global private @w(#ml_program.extern) : tensor<8x40xf32>

// AVX2 has panels of 16 or 8 columns; five panels of 8 pad nothing.
// CHECK: #[[PACKED:.*]] = affine_map<(d0, d1, d2) -> (d1 floordiv 8, d2, d1 mod 8)>
// CHECK-LABEL: func.func @weights
// CHECK: tensor.expand_shape %{{.*}} {{\[}}[0], [1, 2]] output_shape [8, 5, 8]
// CHECK: linalg.generic {{.*}} outs(%{{.*}} : tensor<5x8x8xf32>)
// CHECK: linalg.generic {indexing_maps = [#{{.*}}, #[[PACKED]], #{{.*}}]
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

// An operand that is not a weight is only transposed, so that the output's innermost dimension is its own.
// CHECK-LABEL: func.func @activations
// CHECK: linalg.generic {{.*}} outs(%{{.*}} : tensor<8x40xf32>)
// CHECK: linalg.generic
// CHECK: arith.mulf
#bt = affine_map<(d0, d1, d2) -> (d1, d2)>
func.func @activations(%x: tensor<4x8xf32>, %w: tensor<40x8xf32>) -> tensor<4x40xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<4x40xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<4x40xf32>) -> tensor<4x40xf32>
  %c = linalg.generic {indexing_maps = [#a, #bt, #c], iterator_types = ["parallel", "parallel", "reduction"]} ins(%x, %w : tensor<4x8xf32>, tensor<40x8xf32>) outs(%f : tensor<4x40xf32>) {
  ^bb0(%p: f32, %q: f32, %s: f32):
    %0 = arith.mulf %p, %q : f32
    %1 = arith.addf %s, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<4x40xf32>
  return %c : tensor<4x40xf32>
}
