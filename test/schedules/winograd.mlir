// RUN: neo-opt --pass-pipeline="builtin.module(neo-winograd{use=2 target=x86-64-v4},neo-pack-contractions{target=x86-64-v4},neo-form-kernels,builtin.module(neo-schedule{target=x86-64-v4}))" %s | FileCheck %s

// Sixteen tiles of four results in two strips of eight: transformed inputs and products are scratch memory, nothing as
// large as a whole tensor of either is written. The filters are packed in panels of 32 channels, of which a step of the
// product reads two vectors for eight scalars. The border of the next convolution is written as well.
// CHECK-LABEL: func.func @winograd_
// CHECK-SAME:    neo.schedule = "winograd"
// CHECK-DAG:     %[[GATHERED:.*]] = memref.alloca() {{.*}} : memref<16x272xf32>
// CHECK-DAG:     %[[PRODUCTS:.*]] = memref.alloca() {{.*}} : memref<16x4x4x32xf32>
// CHECK:         scf.forall
// CHECK:           scf.for
// CHECK-COUNT-16:  vector.load %{{.*}} : memref<10x10x16xf32>, vector<16xf32>
// CHECK:           arith.subf
// CHECK-COUNT-16:  vector.store %{{.*}}, %[[GATHERED]]
// CHECK:           scf.for
// CHECK:             vector.load %{{.*}} : memref<1x4x4x16x32xf32>, vector<16xf32>
// CHECK:             vector.load %{{.*}} : memref<1x4x4x16x32xf32>, vector<16xf32>
// CHECK-COUNT-16:    math.fma
// CHECK:             scf.yield
// CHECK-COUNT-16:  vector.store %{{.*}}, %[[PRODUCTS]]
// CHECK:           vector.load %[[PRODUCTS]]
// CHECK:           arith.maximumf
// CHECK:           vector.store %{{.*}} : memref<10x10x32xf32>, vector<16xf32>
#x = affine_map<(h, v, k, a, b, c) -> (h + a, v + b, c)>
#w = affine_map<(h, v, k, a, b, c) -> (k, c, a, b)>
#y = affine_map<(h, v, k, a, b, c) -> (h, v, k)>
#id = affine_map<(h, v, k) -> (h, v, k)>
ml_program.global private @w(#ml_program.extern) : tensor<32x16x3x3xf32>
func.func @main(%x: tensor<10x10x16xf32>) -> tensor<10x10x32xf32> {
  %zero = arith.constant 0.0 : f32
  %w = ml_program.global_load_const @w : tensor<32x16x3x3xf32>
  %e = tensor.empty() : tensor<8x8x32xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<8x8x32xf32>) -> tensor<8x8x32xf32>
  %r = linalg.generic {indexing_maps = [#x, #w, #y], iterator_types = ["parallel", "parallel", "parallel", "reduction", "reduction", "reduction"]}
      ins(%x, %w : tensor<10x10x16xf32>, tensor<32x16x3x3xf32>) outs(%f : tensor<8x8x32xf32>) {
  ^bb0(%p0: f32, %p1: f32, %acc: f32):
    %0 = arith.mulf %p0, %p1 : f32
    %1 = arith.addf %acc, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<8x8x32xf32>
  %relu = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%r : tensor<8x8x32xf32>) outs(%e : tensor<8x8x32xf32>) {
  ^bb0(%a: f32, %o: f32):
    %0 = arith.maximumf %a, %zero : f32
    linalg.yield %0 : f32
  } -> tensor<8x8x32xf32>
  %p = tensor.pad %relu low[1, 1, 0] high[1, 1, 0] {
  ^bb0(%i: index, %j: index, %k: index):
    tensor.yield %zero : f32
  } : tensor<8x8x32xf32> to tensor<10x10x32xf32>
  return %p : tensor<10x10x32xf32>
}
