// RUN: neo-opt --neo-form-kernels=scores=65536 %s | FileCheck %s

// All heads have the same keys and values, and rows enough that these pass by once a head.
// CHECK-LABEL: func.func @main
// CHECK:         call @attention_
// CHECK-NOT:     call
// CHECK:         return
#all = affine_map<(h, m, n) -> (h, m, n)>
#row = affine_map<(h, m, n) -> (h, m)>
func.func @main(%q: tensor<4x32x32xf32>, %k: tensor<32x16xf32>, %v: tensor<16x32xf32>) -> tensor<4x32x32xf32> {
  %zero = arith.constant 0.0 : f32
  %low = arith.constant 0xFF800000 : f32
  %es = tensor.empty() : tensor<4x32x16xf32>
  %er = tensor.empty() : tensor<4x32xf32>
  %f = linalg.fill ins(%zero : f32) outs(%es : tensor<4x32x16xf32>) -> tensor<4x32x16xf32>
  %s = linalg.generic {
      indexing_maps = [affine_map<(h, m, n, k) -> (h, m, k)>, affine_map<(h, m, n, k) -> (k, n)>, affine_map<(h, m, n, k) -> (h, m, n)>],
      iterator_types = ["parallel", "parallel", "parallel", "reduction"]}
      ins(%q, %k : tensor<4x32x32xf32>, tensor<32x16xf32>) outs(%f : tensor<4x32x16xf32>) {
  ^bb0(%a: f32, %b: f32, %acc: f32):
    %0 = arith.mulf %a, %b : f32
    %1 = arith.addf %acc, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<4x32x16xf32>
  %fl = linalg.fill ins(%low : f32) outs(%er : tensor<4x32xf32>) -> tensor<4x32xf32>
  %max = linalg.generic {indexing_maps = [#all, #row], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%s : tensor<4x32x16xf32>) outs(%fl : tensor<4x32xf32>) {
  ^bb0(%a: f32, %acc: f32):
    %0 = arith.maximumf %a, %acc : f32
    linalg.yield %0 : f32
  } -> tensor<4x32xf32>
  %exp = linalg.generic {indexing_maps = [#all, #row, #all], iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%s, %max : tensor<4x32x16xf32>, tensor<4x32xf32>) outs(%es : tensor<4x32x16xf32>) {
  ^bb0(%a: f32, %b: f32, %acc: f32):
    %0 = arith.subf %a, %b : f32
    %1 = math.exp %0 : f32
    linalg.yield %1 : f32
  } -> tensor<4x32x16xf32>
  %fz = linalg.fill ins(%zero : f32) outs(%er : tensor<4x32xf32>) -> tensor<4x32xf32>
  %sum = linalg.generic {indexing_maps = [#all, #row], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%exp : tensor<4x32x16xf32>) outs(%fz : tensor<4x32xf32>) {
  ^bb0(%a: f32, %acc: f32):
    %0 = arith.addf %a, %acc : f32
    linalg.yield %0 : f32
  } -> tensor<4x32xf32>
  %p = linalg.generic {indexing_maps = [#all, #row, #all], iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%exp, %sum : tensor<4x32x16xf32>, tensor<4x32xf32>) outs(%es : tensor<4x32x16xf32>) {
  ^bb0(%a: f32, %b: f32, %acc: f32):
    %0 = arith.divf %a, %b : f32
    linalg.yield %0 : f32
  } -> tensor<4x32x16xf32>
  %eo = tensor.empty() : tensor<4x32x32xf32>
  %g = linalg.fill ins(%zero : f32) outs(%eo : tensor<4x32x32xf32>) -> tensor<4x32x32xf32>
  %r = linalg.generic {
      indexing_maps = [affine_map<(h, m, d, n) -> (h, m, n)>, affine_map<(h, m, d, n) -> (n, d)>, affine_map<(h, m, d, n) -> (h, m, d)>],
      iterator_types = ["parallel", "parallel", "parallel", "reduction"]}
      ins(%p, %v : tensor<4x32x16xf32>, tensor<16x32xf32>) outs(%g : tensor<4x32x32xf32>) {
  ^bb0(%a: f32, %b: f32, %acc: f32):
    %0 = arith.mulf %a, %b : f32
    %1 = arith.addf %acc, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<4x32x32xf32>
  return %r : tensor<4x32x32xf32>
}

// Of eight rows a head the rows of all heads pass by together, which one kernel of a head a work item cannot do.
// CHECK-LABEL: func.func @few
// CHECK:         call @contraction_
// CHECK:         call @row_
// CHECK:         call @contraction_
func.func @few(%q: tensor<4x8x32xf32>, %k: tensor<32x16xf32>, %v: tensor<16x32xf32>) -> tensor<4x8x32xf32> {
  %zero = arith.constant 0.0 : f32
  %low = arith.constant 0xFF800000 : f32
  %es = tensor.empty() : tensor<4x8x16xf32>
  %er = tensor.empty() : tensor<4x8xf32>
  %f = linalg.fill ins(%zero : f32) outs(%es : tensor<4x8x16xf32>) -> tensor<4x8x16xf32>
  %s = linalg.generic {
      indexing_maps = [affine_map<(h, m, n, k) -> (h, m, k)>, affine_map<(h, m, n, k) -> (k, n)>, affine_map<(h, m, n, k) -> (h, m, n)>],
      iterator_types = ["parallel", "parallel", "parallel", "reduction"]}
      ins(%q, %k : tensor<4x8x32xf32>, tensor<32x16xf32>) outs(%f : tensor<4x8x16xf32>) {
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
  %p = linalg.generic {indexing_maps = [#all, #row, #all], iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%exp, %sum : tensor<4x8x16xf32>, tensor<4x8xf32>) outs(%es : tensor<4x8x16xf32>) {
  ^bb0(%a: f32, %b: f32, %acc: f32):
    %0 = arith.divf %a, %b : f32
    linalg.yield %0 : f32
  } -> tensor<4x8x16xf32>
  %eo = tensor.empty() : tensor<4x8x32xf32>
  %g = linalg.fill ins(%zero : f32) outs(%eo : tensor<4x8x32xf32>) -> tensor<4x8x32xf32>
  %r = linalg.generic {
      indexing_maps = [affine_map<(h, m, d, n) -> (h, m, n)>, affine_map<(h, m, d, n) -> (n, d)>, affine_map<(h, m, d, n) -> (h, m, d)>],
      iterator_types = ["parallel", "parallel", "parallel", "reduction"]}
      ins(%p, %v : tensor<4x8x16xf32>, tensor<16x32xf32>) outs(%g : tensor<4x8x32xf32>) {
  ^bb0(%a: f32, %b: f32, %acc: f32):
    %0 = arith.mulf %a, %b : f32
    %1 = arith.addf %acc, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<4x8x32xf32>
  return %r : tensor<4x8x32xf32>
}
