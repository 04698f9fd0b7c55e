// RUN: neo-opt --neo-lower-precision="type=bf16 target=x86-64-v3" --split-input-file %s | FileCheck %s
// RUN: neo-opt --neo-lower-precision="type=bf16 target=znver4" --split-input-file %s | FileCheck %s --check-prefix=PAIRS
// RUN: neo-opt --neo-lower-precision="type=bf16 target=sapphirerapids" --split-input-file %s | FileCheck %s --check-prefix=TILES
// RUN: neo-opt --neo-lower-precision="type=bf16 target=znver4 winograd=false" --split-input-file %s | FileCheck %s --check-prefix=NEVER

#a = affine_map<(d0, d1, d2) -> (d0, d2)>
#b = affine_map<(d0, d1, d2) -> (d2, d1)>
#c = affine_map<(d0, d1, d2) -> (d0, d1)>
ml_program.global private @w(#ml_program.extern) : tensor<8x8xf32>

// No instruction of the target multiplies bf16: the weight alone is rounded, and what is no weight stays.
// CHECK-LABEL: func.func @products
// CHECK-SAME:    (%[[X:.*]]: tensor<4x8xf32>,
// CHECK:         %[[W:.*]] = linalg.generic {{.*}} ins(%{{.*}} : tensor<8x8xf32>) outs(%{{.*}} : tensor<8x8xbf16>)
// CHECK-NEXT:    ^bb0
// CHECK-NEXT:      arith.truncf
// CHECK:         %[[Y:.*]] = linalg.generic {{.*}} ins(%[[X]], %[[W]] : tensor<4x8xf32>, tensor<8x8xbf16>) outs(%{{.*}} : tensor<4x8xf32>)
// CHECK-COUNT-1:   arith.extf
// CHECK:         linalg.generic {{.*}} ins(%[[Y]], %{{.*}} : tensor<4x8xf32>, tensor<8x8xf32>)
// CHECK-NOT:       arith.extf
// CHECK:           return
func.func @products(%x: tensor<4x8xf32>, %v: tensor<8x8xf32>) -> tensor<4x8xf32> {
  %zero = arith.constant 0.0 : f32
  %w = ml_program.global_load_const @w : tensor<8x8xf32>
  %e = tensor.empty() : tensor<4x8xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<4x8xf32>) -> tensor<4x8xf32>
  %s = linalg.generic {indexing_maps = [#a, #b, #c], iterator_types = ["parallel", "parallel", "reduction"]} ins(%x, %w : tensor<4x8xf32>, tensor<8x8xf32>) outs(%f : tensor<4x8xf32>) {
  ^bb0(%p: f32, %q: f32, %o: f32):
    %0 = arith.mulf %p, %q : f32
    %1 = arith.addf %o, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<4x8xf32>
  %t = linalg.generic {indexing_maps = [#a, #b, #c], iterator_types = ["parallel", "parallel", "reduction"]} ins(%s, %v : tensor<4x8xf32>, tensor<8x8xf32>) outs(%f : tensor<4x8xf32>) {
  ^bb0(%p: f32, %q: f32, %o: f32):
    %0 = arith.mulf %p, %q : f32
    %1 = arith.addf %o, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<4x8xf32>
  return %t : tensor<4x8xf32>
}

// -----

#x = affine_map<(h, w, k, a, b, c) -> (h + a, w + b, c)>
#w = affine_map<(h, w, k, a, b, c) -> (k, a, b, c)>
#y = affine_map<(h, w, k, a, b, c) -> (h, w, k)>
ml_program.global private @filters(#ml_program.extern) : tensor<64x3x3x64xf32>

// What Winograd's algorithm does faster stays in f32: also than products of pairs, not than those of tiles.
// CHECK-LABEL: func.func @convolution
// CHECK-NOT:     bf16
// PAIRS-LABEL: func.func @convolution
// PAIRS-NOT:     bf16
// TILES-LABEL: func.func @convolution
// TILES:         ins(%{{.*}}, %{{.*}} : tensor<58x58x64xbf16>, tensor<64x3x3x64xbf16>)
// NEVER-LABEL: func.func @convolution
// NEVER:         ins(%{{.*}}, %{{.*}} : tensor<58x58x64xbf16>, tensor<64x3x3x64xbf16>)
func.func @convolution(%x: tensor<58x58x64xf32>) -> tensor<56x56x64xf32> {
  %zero = arith.constant 0.0 : f32
  %w = ml_program.global_load_const @filters : tensor<64x3x3x64xf32>
  %e = tensor.empty() : tensor<56x56x64xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<56x56x64xf32>) -> tensor<56x56x64xf32>
  %s = linalg.generic {indexing_maps = [#x, #w, #y], iterator_types = ["parallel", "parallel", "parallel", "reduction", "reduction", "reduction"]} ins(%x, %w : tensor<58x58x64xf32>, tensor<64x3x3x64xf32>) outs(%f : tensor<56x56x64xf32>) {
  ^bb0(%p: f32, %q: f32, %o: f32):
    %0 = arith.mulf %p, %q : f32
    %1 = arith.addf %o, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<56x56x64xf32>
  return %s : tensor<56x56x64xf32>
}
