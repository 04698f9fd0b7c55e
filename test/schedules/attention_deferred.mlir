// RUN: neo-opt --neo-schedule=target=x86-64-v4 %s | FileCheck %s

// Weights are scaled behind the weighted sum: they take the place of the scores as they are, in the loop that sums them
// up, and the inverse of each row's sum waits beside them.
// CHECK-LABEL: func.func @attention
// CHECK-SAME:    attributes {neo.schedule = "attention"}
// CHECK-DAG:     %[[SCORES:.*]] = memref.alloca() {{.*}} : memref<8x16xf32>
// CHECK-DAG:     %[[INVERSES:.*]] = memref.alloca() {{.*}} : memref<8xf32>
// CHECK-NOT:     memref.alloca
// CHECK:         scf.forall (%{{.*}}) in (4)
// CHECK:           math.fma
// CHECK:           vector.store %{{.*}}, %[[SCORES]][
// CHECK:           math.exp
// CHECK:           vector.store %{{.*}}, %[[SCORES]][
// CHECK-NOT:       vector.store
// CHECK:           %[[INVERSE:.*]] = arith.divf
// CHECK:           memref.store %[[INVERSE]], %[[INVERSES]][
// CHECK:           math.fma
// CHECK:           memref.load %[[INVERSES]][
// CHECK:           arith.mulf
// CHECK:           vector.store %{{.*}} : memref<4x8x32xf32>, vector<16xf32>
#all = affine_map<(h, m, n) -> (h, m, n)>
#row = affine_map<(h, m, n) -> (h, m)>
func.func @attention(%q: tensor<4x8x32xf32>, %k: tensor<4x32x16xf32>, %v: tensor<4x16x32xf32>, %out: tensor<4x8x32xf32>) -> tensor<4x8x32xf32> {
  %zero = arith.constant 0.0 : f32
  %low = arith.constant 0xFF800000 : f32
  %es = tensor.empty() : tensor<4x8x16xf32>
  %er = tensor.empty() : tensor<4x8xf32>
  %f = linalg.fill ins(%zero : f32) outs(%es : tensor<4x8x16xf32>) -> tensor<4x8x16xf32>
  %s = linalg.generic {
      indexing_maps = [affine_map<(h, m, n, k) -> (h, m, k)>, affine_map<(h, m, n, k) -> (h, k, n)>, affine_map<(h, m, n, k) -> (h, m, n)>],
      iterator_types = ["parallel", "parallel", "parallel", "reduction"]}
      ins(%q, %k : tensor<4x8x32xf32>, tensor<4x32x16xf32>) outs(%f : tensor<4x8x16xf32>) {
  ^bb0(%a: f32, %b: f32, %acc: f32):
    %0 = arith.mulf %a, %b : f32
    %1 = arith.addf %acc, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<4x8x16xf32>
  %fl = linalg.fill ins(%low : f32) outs(%er : tensor<4x8xf32>) -> tensor<4x8xf32>
  %max = linalg.generic {indexing_maps = [#all, #row], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%s : tensor<4x8x16xf32>) outs(%fl : tensor<4x8xf32>) {
  ^bb0(%a: f32, %acc: f32):
    %0 = arith.maximumf %a, %acc : f32
    linalg.yield %0 : f32
  } -> tensor<4x8xf32>
  %exp = linalg.generic {indexing_maps = [#all, #row, #all], iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%s, %max : tensor<4x8x16xf32>, tensor<4x8xf32>) outs(%es : tensor<4x8x16xf32>) {
  ^bb0(%a: f32, %b: f32, %acc: f32):
    %0 = arith.subf %a, %b : f32
    %1 = math.exp %0 : f32
    linalg.yield %1 : f32
  } -> tensor<4x8x16xf32>
  %fz = linalg.fill ins(%zero : f32) outs(%er : tensor<4x8xf32>) -> tensor<4x8xf32>
  %sum = linalg.generic {indexing_maps = [#all, #row], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%exp : tensor<4x8x16xf32>) outs(%fz : tensor<4x8xf32>) {
  ^bb0(%a: f32, %acc: f32):
    %0 = arith.addf %a, %acc : f32
    linalg.yield %0 : f32
  } -> tensor<4x8xf32>
  %ei = tensor.empty() : tensor<4x8xf32>
  %one = arith.constant 1.0 : f32
  %inverse = linalg.generic {indexing_maps = [affine_map<(h, m) -> (h, m)>, affine_map<(h, m) -> (h, m)>], iterator_types = ["parallel", "parallel"]}
      ins(%sum : tensor<4x8xf32>) outs(%ei : tensor<4x8xf32>) {
  ^bb0(%a: f32, %acc: f32):
    %0 = arith.divf %one, %a : f32
    linalg.yield %0 : f32
  } -> tensor<4x8xf32>
  %g = linalg.fill ins(%zero : f32) outs(%out : tensor<4x8x32xf32>) -> tensor<4x8x32xf32>
  %r = linalg.generic {
      indexing_maps = [affine_map<(h, m, d, n) -> (h, m, n)>, affine_map<(h, m, d, n) -> (h, n, d)>, affine_map<(h, m, d, n) -> (h, m, d)>],
      iterator_types = ["parallel", "parallel", "parallel", "reduction"]}
      ins(%exp, %v : tensor<4x8x16xf32>, tensor<4x16x32xf32>) outs(%g : tensor<4x8x32xf32>) {
  ^bb0(%a: f32, %b: f32, %acc: f32):
    %0 = arith.mulf %a, %b : f32
    %1 = arith.addf %acc, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<4x8x32xf32>
  %scaled = linalg.generic {indexing_maps = [#all, #row, #all], iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%r, %inverse : tensor<4x8x32xf32>, tensor<4x8xf32>) outs(%out : tensor<4x8x32xf32>) {
  ^bb0(%a: f32, %b: f32, %acc: f32):
    %0 = arith.mulf %a, %b : f32
    linalg.yield %0 : f32
  } -> tensor<4x8x32xf32>
  return %scaled : tensor<4x8x32xf32>
}
