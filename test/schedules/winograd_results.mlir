// RUN: neo-opt --pass-pipeline="builtin.module(neo-winograd{use=4 target=znver2},neo-pack-contractions{target=znver2},neo-form-kernels,builtin.module(neo-schedule{target=znver2}))" %s | FileCheck %s
// RUN: neo-opt --pass-pipeline="builtin.module(neo-winograd{use=4 target=sapphirerapids},neo-pack-contractions{target=sapphirerapids},neo-form-kernels,builtin.module(neo-schedule{target=sapphirerapids}))" %s | FileCheck %s --check-prefix=NEAR

// The results take as much as a second-level cache of half a megabyte: before a tile is transformed back, the sixteen
// lines that the next one writes are asked for.
// CHECK-LABEL: func.func @winograd_
// CHECK:         memref.prefetch %{{.*}}, read, locality<2>
// CHECK-NOT:     memref.prefetch %{{.*}}, write
// CHECK-COUNT-12:  math.fma
// CHECK-COUNT-16:  memref.prefetch %{{.*}}, write, locality<3>, data : memref<64x64x32xf32>
// CHECK-NOT:       memref.prefetch
// CHECK-COUNT-32:  vector.store %{{.*}} : memref<64x64x32xf32>, vector<8xf32>

// In a cache of two megabytes they are at hand.
// NEAR-LABEL: func.func @winograd_
// NEAR-NOT:     memref.prefetch
// NEAR:         return
#x = affine_map<(h, v, k, a, b, c) -> (h + a, v + b, c)>
#w = affine_map<(h, v, k, a, b, c) -> (k, c, a, b)>
#y = affine_map<(h, v, k, a, b, c) -> (h, v, k)>
ml_program.global private @w(#ml_program.extern) : tensor<32x64x3x3xf32>
func.func @main(%x: tensor<66x66x64xf32>) -> tensor<64x64x32xf32> {
  %zero = arith.constant 0.0 : f32
  %w = ml_program.global_load_const @w : tensor<32x64x3x3xf32>
  %e = tensor.empty() : tensor<64x64x32xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<64x64x32xf32>) -> tensor<64x64x32xf32>
  %r = linalg.generic {indexing_maps = [#x, #w, #y], iterator_types = ["parallel", "parallel", "parallel", "reduction", "reduction", "reduction"]}
      ins(%x, %w : tensor<66x66x64xf32>, tensor<32x64x3x3xf32>) outs(%f : tensor<64x64x32xf32>) {
  ^bb0(%p0: f32, %p1: f32, %acc: f32):
    %0 = arith.mulf %p0, %p1 : f32
    %1 = arith.addf %acc, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<64x64x32xf32>
  return %r : tensor<64x64x32xf32>
}
