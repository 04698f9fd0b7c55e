// RUN: neo-opt --neo-form-kernels=scores=512 %s | FileCheck %s

// Inverses of the rows' sums that are read behind the second product do not part it from the softmax, nor do keys in
// panels; sums that others read as well do.
// CHECK-LABEL: func.func @deferred
// CHECK:         call @attention_
// CHECK-NOT:     call
// CHECK:         return
// CHECK-LABEL: func.func @read_again
// CHECK:         call @contraction_
// CHECK:         call @row_
// CHECK:         call @contraction_
#all = affine_map<(h, m, n) -> (h, m, n)>
#row = affine_map<(h, m, n) -> (h, m)>
func.func @deferred(%q: tensor<4x8x32xf32>, %k: tensor<2x4x32x8xf32>, %v: tensor<4x16x32xf32>) -> tensor<4x8x32xf32> {
  %zero = arith.constant 0.0 : f32
  %low = arith.constant 0xFF800000 : f32
  %es = tensor.empty() : tensor<4x8x16xf32>
  %er = tensor.empty() : tensor<4x8xf32>
  %f = linalg.fill ins(%zero : f32) outs(%es : tensor<4x8x16xf32>) -> tensor<4x8x16xf32>
  %s = linalg.generic {
      indexing_maps = [affine_map<(h, m, n, k) -> (h, m, k)>, affine_map<(h, m, n, k) -> (n floordiv 8, h, k, n mod 8)>, affine_map<(h, m, n, k) -> (h, m, n)>],
      iterator_types = ["parallel", "parallel", "parallel", "reduction"]}
      ins(%q, %k : tensor<4x8x32xf32>, tensor<2x4x32x8xf32>) outs(%f : tensor<4x8x16xf32>) {
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
  %eo = tensor.empty() : tensor<4x8x32xf32>
  %g = linalg.fill ins(%zero : f32) outs(%eo : tensor<4x8x32xf32>) -> tensor<4x8x32xf32>
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
      ins(%r, %sum : tensor<4x8x32xf32>, tensor<4x8xf32>) outs(%eo : tensor<4x8x32xf32>) {
  ^bb0(%a: f32, %b: f32, %acc: f32):
    %0 = arith.divf %a, %b : f32
    linalg.yield %0 : f32
  } -> tensor<4x8x32xf32>
  return %scaled : tensor<4x8x32xf32>
}
func.func @read_again(%q: tensor<4x8x32xf32>, %k: tensor<2x4x32x8xf32>, %v: tensor<4x16x32xf32>) -> (tensor<4x8x32xf32>, tensor<4x8xf32>) {
  %zero = arith.constant 0.0 : f32
  %low = arith.constant 0xFF800000 : f32
  %es = tensor.empty() : tensor<4x8x16xf32>
  %er = tensor.empty() : tensor<4x8xf32>
  %f = linalg.fill ins(%zero : f32) outs(%es : tensor<4x8x16xf32>) -> tensor<4x8x16xf32>
  %s = linalg.generic {
      indexing_maps = [affine_map<(h, m, n, k) -> (h, m, k)>, affine_map<(h, m, n, k) -> (n floordiv 8, h, k, n mod 8)>, affine_map<(h, m, n, k) -> (h, m, n)>],
      iterator_types = ["parallel", "parallel", "parallel", "reduction"]}
      ins(%q, %k : tensor<4x8x32xf32>, tensor<2x4x32x8xf32>) outs(%f : tensor<4x8x16xf32>) {
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
  %eo = tensor.empty() : tensor<4x8x32xf32>
  %g = linalg.fill ins(%zero : f32) outs(%eo : tensor<4x8x32xf32>) -> tensor<4x8x32xf32>
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
      ins(%r, %sum : tensor<4x8x32xf32>, tensor<4x8xf32>) outs(%eo : tensor<4x8x32xf32>) {
  ^bb0(%a: f32, %b: f32, %acc: f32):
    %0 = arith.divf %a, %b : f32
    linalg.yield %0 : f32
  } -> tensor<4x8x32xf32>
  return %scaled, %sum : tensor<4x8x32xf32>, tensor<4x8xf32>
}
