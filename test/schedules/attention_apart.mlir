// RUN: neo-opt --neo-schedule=target=x86-64-v4 %s | FileCheck %s

// Queries and keys of the heads of several pictures lie side by side, what the second product writes does not: no
// product walks pictures and heads as one dimension.
// CHECK-LABEL: func.func @attention
// CHECK-SAME:    attributes {neo.schedule = "attention"}
// CHECK:         scf.forall (%{{.*}}) in (6)
// CHECK:           vector.store %{{.*}} : memref<2x8x3x32xf32>, vector<16xf32>
#all = affine_map<(b, h, m, n) -> (b, h, m, n)>
#row = affine_map<(b, h, m, n) -> (b, h, m)>
func.func @attention(%q: tensor<2x3x8x32xf32>, %k: tensor<2x3x32x16xf32>, %v: tensor<2x3x16x32xf32>, %out: tensor<2x8x3x32xf32>) -> tensor<2x8x3x32xf32> {
  %zero = arith.constant 0.0 : f32
  %low = arith.constant 0xFF800000 : f32
  %es = tensor.empty() : tensor<2x3x8x16xf32>
  %er = tensor.empty() : tensor<2x3x8xf32>
  %f = linalg.fill ins(%zero : f32) outs(%es : tensor<2x3x8x16xf32>) -> tensor<2x3x8x16xf32>
  %s = linalg.generic {
      indexing_maps = [affine_map<(b, h, m, n, k) -> (b, h, m, k)>, affine_map<(b, h, m, n, k) -> (b, h, k, n)>, affine_map<(b, h, m, n, k) -> (b, h, m, n)>],
      iterator_types = ["parallel", "parallel", "parallel", "parallel", "reduction"]}
      ins(%q, %k : tensor<2x3x8x32xf32>, tensor<2x3x32x16xf32>) outs(%f : tensor<2x3x8x16xf32>) {
  ^bb0(%a: f32, %b: f32, %acc: f32):
    %0 = arith.mulf %a, %b : f32
    %1 = arith.addf %acc, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<2x3x8x16xf32>
  %fl = linalg.fill ins(%low : f32) outs(%er : tensor<2x3x8xf32>) -> tensor<2x3x8xf32>
  %max = linalg.generic {indexing_maps = [#all, #row], iterator_types = ["parallel", "parallel", "parallel", "reduction"]}
      ins(%s : tensor<2x3x8x16xf32>) outs(%fl : tensor<2x3x8xf32>) {
  ^bb0(%a: f32, %acc: f32):
    %0 = arith.maximumf %a, %acc : f32
    linalg.yield %0 : f32
  } -> tensor<2x3x8xf32>
  %exp = linalg.generic {indexing_maps = [#all, #row, #all], iterator_types = ["parallel", "parallel", "parallel", "parallel"]}
      ins(%s, %max : tensor<2x3x8x16xf32>, tensor<2x3x8xf32>) outs(%es : tensor<2x3x8x16xf32>) {
  ^bb0(%a: f32, %b: f32, %acc: f32):
    %0 = arith.subf %a, %b : f32
    %1 = math.exp %0 : f32
    linalg.yield %1 : f32
  } -> tensor<2x3x8x16xf32>
  %fz = linalg.fill ins(%zero : f32) outs(%er : tensor<2x3x8xf32>) -> tensor<2x3x8xf32>
  %sum = linalg.generic {indexing_maps = [#all, #row], iterator_types = ["parallel", "parallel", "parallel", "reduction"]}
      ins(%exp : tensor<2x3x8x16xf32>) outs(%fz : tensor<2x3x8xf32>) {
  ^bb0(%a: f32, %acc: f32):
    %0 = arith.addf %a, %acc : f32
    linalg.yield %0 : f32
  } -> tensor<2x3x8xf32>
  %p = linalg.generic {indexing_maps = [#all, #row, #all], iterator_types = ["parallel", "parallel", "parallel", "parallel"]}
      ins(%exp, %sum : tensor<2x3x8x16xf32>, tensor<2x3x8xf32>) outs(%es : tensor<2x3x8x16xf32>) {
  ^bb0(%a: f32, %b: f32, %acc: f32):
    %0 = arith.divf %a, %b : f32
    linalg.yield %0 : f32
  } -> tensor<2x3x8x16xf32>
  %fo = linalg.fill ins(%zero : f32) outs(%out : tensor<2x8x3x32xf32>) -> tensor<2x8x3x32xf32>
  %r = linalg.generic {
      indexing_maps = [affine_map<(b, h, m, n, k) -> (b, h, m, k)>, affine_map<(b, h, m, n, k) -> (b, h, k, n)>, affine_map<(b, h, m, n, k) -> (b, m, h, n)>],
      iterator_types = ["parallel", "parallel", "parallel", "parallel", "reduction"]}
      ins(%p, %v : tensor<2x3x8x16xf32>, tensor<2x3x16x32xf32>) outs(%fo : tensor<2x8x3x32xf32>) {
  ^bb0(%a: f32, %b: f32, %acc: f32):
    %0 = arith.mulf %a, %b : f32
    %1 = arith.addf %acc, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<2x8x3x32xf32>
  return %r : tensor<2x8x3x32xf32>
}
