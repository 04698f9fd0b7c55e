// RUN: neo-opt --pass-pipeline="builtin.module(neo-winograd{use=4 target=znver2},neo-pack-contractions{target=znver2},neo-form-kernels,builtin.module(neo-schedule{target=znver2}))" %s | FileCheck %s
// RUN: neo-opt --pass-pipeline="builtin.module(neo-winograd{use=4 target=sapphirerapids},neo-pack-contractions{target=sapphirerapids},neo-form-kernels,builtin.module(neo-schedule{target=sapphirerapids}))" %s | FileCheck %s --check-prefix=NEAR

// The input is larger than two second-level caches of half a megabyte: with each vector of channels the six rows and
// four new columns of the tile that follows are fetched. Twelve sums, three vectors of filters and an input fill the
// sixteen registers.
// CHECK-LABEL: func.func @winograd_
// CHECK:         scf.for
// CHECK-COUNT-24:  memref.prefetch %{{.*}}, read, locality<2>, data : memref<278784xf32>
// CHECK-NOT:       memref.prefetch
// CHECK-COUNT-36:  vector.load %{{.*}} : memref<66x66x64xf32>, vector<8xf32>
// CHECK:           scf.for
// CHECK-COUNT-3:     vector.load %{{.*}} : memref<1x6x6x64x24xf32>, vector<8xf32>
// CHECK-COUNT-12:    math.fma
// CHECK-NOT:         math.fma
// CHECK:             scf.yield

// In a cache of two megabytes it is at hand.
// NEAR-LABEL: func.func @winograd_
// NEAR-NOT:     memref.prefetch
// NEAR:         return
#x = affine_map<(h, v, k, a, b, c) -> (h + a, v + b, c)>
#w = affine_map<(h, v, k, a, b, c) -> (k, c, a, b)>
#y = affine_map<(h, v, k, a, b, c) -> (h, v, k)>
ml_program.global private @w(#ml_program.extern) : tensor<24x64x3x3xf32>
func.func @main(%x: tensor<66x66x64xf32>) -> tensor<64x64x24xf32> {
  %zero = arith.constant 0.0 : f32
  %w = ml_program.global_load_const @w : tensor<24x64x3x3xf32>
  %e = tensor.empty() : tensor<64x64x24xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<64x64x24xf32>) -> tensor<64x64x24xf32>
  %r = linalg.generic {indexing_maps = [#x, #w, #y], iterator_types = ["parallel", "parallel", "parallel", "reduction", "reduction", "reduction"]}
      ins(%x, %w : tensor<66x66x64xf32>, tensor<24x64x3x3xf32>) outs(%f : tensor<64x64x24xf32>) {
  ^bb0(%p0: f32, %p1: f32, %acc: f32):
    %0 = arith.mulf %p0, %p1 : f32
    %1 = arith.addf %acc, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<64x64x24xf32>
  return %r : tensor<64x64x24xf32>
}
