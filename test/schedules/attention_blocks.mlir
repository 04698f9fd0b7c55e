// RUN: neo-opt --neo-schedule=target=x86-64-v4 %s | FileCheck %s

// The scores of 100 rows of 4096 are more than half the second-level cache: a work item is a block of rows of a head, as
// many as fit, and all its scores are scratch memory. Register tiles are eight rows high: those of the scores are 16 KiB
// apart, and a set of the first-level cache has places for eight.
// CHECK-LABEL: func.func @attention
// CHECK-SAME:    attributes {neo.parameters = {block = 4 : i64}, neo.schedule = "attention"}
// CHECK-COUNT-2: memref.alloca() {{.*}} : memref<32x4096xf32>
// CHECK-NOT:     memref<2x100x4096xf32>
// CHECK:         scf.forall (%{{.*}}) in (8)
// CHECK:           math.exp
// CHECK:           vector.store %{{.*}} : memref<2x100x32xf32>, vector<16xf32>
#all = affine_map<(h, m, n) -> (h, m, n)>
#row = affine_map<(h, m, n) -> (h, m)>
func.func @attention(%q: tensor<2x100x32xf32>, %k: tensor<2x32x4096xf32>, %v: tensor<2x4096x32xf32>, %out: tensor<2x100x32xf32>) -> tensor<2x100x32xf32> {
  %zero = arith.constant 0.0 : f32
  %low = arith.constant 0xFF800000 : f32
  %es = tensor.empty() : tensor<2x100x4096xf32>
  %er = tensor.empty() : tensor<2x100xf32>
  %f = linalg.fill ins(%zero : f32) outs(%es : tensor<2x100x4096xf32>) -> tensor<2x100x4096xf32>
  %s = linalg.generic {
      indexing_maps = [affine_map<(h, m, n, k) -> (h, m, k)>, affine_map<(h, m, n, k) -> (h, k, n)>, affine_map<(h, m, n, k) -> (h, m, n)>],
      iterator_types = ["parallel", "parallel", "parallel", "reduction"]}
      ins(%q, %k : tensor<2x100x32xf32>, tensor<2x32x4096xf32>) outs(%f : tensor<2x100x4096xf32>) {
  ^bb0(%a: f32, %b: f32, %acc: f32):
    %0 = arith.mulf %a, %b : f32
    %1 = arith.addf %acc, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<2x100x4096xf32>
  %fl = linalg.fill ins(%low : f32) outs(%er : tensor<2x100xf32>) -> tensor<2x100xf32>
  %max = linalg.generic {indexing_maps = [#all, #row], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%s : tensor<2x100x4096xf32>) outs(%fl : tensor<2x100xf32>) {
  ^bb0(%a: f32, %acc: f32):
    %0 = arith.maximumf %a, %acc : f32
    linalg.yield %0 : f32
  } -> tensor<2x100xf32>
  %exp = linalg.generic {indexing_maps = [#all, #row, #all], iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%s, %max : tensor<2x100x4096xf32>, tensor<2x100xf32>) outs(%es : tensor<2x100x4096xf32>) {
  ^bb0(%a: f32, %b: f32, %acc: f32):
    %0 = arith.subf %a, %b : f32
    %1 = math.exp %0 : f32
    linalg.yield %1 : f32
  } -> tensor<2x100x4096xf32>
  %fz = linalg.fill ins(%zero : f32) outs(%er : tensor<2x100xf32>) -> tensor<2x100xf32>
  %sum = linalg.generic {indexing_maps = [#all, #row], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%exp : tensor<2x100x4096xf32>) outs(%fz : tensor<2x100xf32>) {
  ^bb0(%a: f32, %acc: f32):
    %0 = arith.addf %a, %acc : f32
    linalg.yield %0 : f32
  } -> tensor<2x100xf32>
  %p = linalg.generic {indexing_maps = [#all, #row, #all], iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%exp, %sum : tensor<2x100x4096xf32>, tensor<2x100xf32>) outs(%es : tensor<2x100x4096xf32>) {
  ^bb0(%a: f32, %b: f32, %acc: f32):
    %0 = arith.divf %a, %b : f32
    linalg.yield %0 : f32
  } -> tensor<2x100x4096xf32>
  %g = linalg.fill ins(%zero : f32) outs(%out : tensor<2x100x32xf32>) -> tensor<2x100x32xf32>
  %r = linalg.generic {
      indexing_maps = [affine_map<(h, m, d, n) -> (h, m, n)>, affine_map<(h, m, d, n) -> (h, n, d)>, affine_map<(h, m, d, n) -> (h, m, d)>],
      iterator_types = ["parallel", "parallel", "parallel", "reduction"]}
      ins(%p, %v : tensor<2x100x4096xf32>, tensor<2x4096x32xf32>) outs(%g : tensor<2x100x32xf32>) {
  ^bb0(%a: f32, %b: f32, %acc: f32):
    %0 = arith.mulf %a, %b : f32
    %1 = arith.addf %acc, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<2x100x32xf32>
  return %r : tensor<2x100x32xf32>
}
