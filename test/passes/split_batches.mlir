// RUN: neo-opt --neo-split-batches --canonicalize %s | FileCheck %s

#a = affine_map<(b, m, n, k) -> (b, m, k)>
#b = affine_map<(b, m, n, k) -> (b, k, n)>
#c = affine_map<(b, m, n, k) -> (b, m, n)>

// CHECK-DAG: #[[A:.*]] = affine_map<(d0, d1, d2, d3, d4) -> (d0, d1, d2, d4)>
// CHECK-DAG: #[[B:.*]] = affine_map<(d0, d1, d2, d3, d4) -> (d0, d1, d4, d3)>
// CHECK-DAG: #[[C:.*]] = affine_map<(d0, d1, d2, d3, d4) -> (d0, d1, d2, d3)>

// Two sequences of three heads: what reads the result in four dimensions needs no reshape.
// CHECK-LABEL: func.func @heads
// CHECK-SAME: %[[Q:.*]]: tensor<2x3x5x4xf32>, %[[K:.*]]: tensor<6x4x7xf32>
// CHECK: %[[WIDE:.*]] = tensor.expand_shape %[[K]] {{\[\[}}0, 1], [2], [3]] output_shape [2, 3, 4, 7]
// CHECK: %[[S:.*]] = linalg.generic {indexing_maps = [#[[A]], #[[B]], #[[C]]], {{.*}}} ins(%[[Q]], %[[WIDE]] : {{.*}}) outs(%{{.*}} : tensor<2x3x5x7xf32>)
// CHECK: return %[[S]]
func.func @heads(%q: tensor<2x3x5x4xf32>, %k: tensor<6x4x7xf32>) -> tensor<2x3x5x7xf32> {
  %zero = arith.constant 0.0 : f32
  %flat = tensor.collapse_shape %q [[0, 1], [2], [3]] : tensor<2x3x5x4xf32> into tensor<6x5x4xf32>
  %e = tensor.empty() : tensor<6x5x7xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<6x5x7xf32>) -> tensor<6x5x7xf32>
  %s = linalg.generic {indexing_maps = [#a, #b, #c], iterator_types = ["parallel", "parallel", "parallel", "reduction"]} ins(%flat, %k : tensor<6x5x4xf32>, tensor<6x4x7xf32>) outs(%f : tensor<6x5x7xf32>) {
  ^bb0(%l: f32, %r: f32, %out: f32):
    %0 = arith.mulf %l, %r : f32
    %1 = arith.addf %out, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<6x5x7xf32>
  %wide = tensor.expand_shape %s [[0, 1], [2], [3]] output_shape [2, 3, 5, 7] : tensor<6x5x7xf32> into tensor<2x3x5x7xf32>
  return %wide : tensor<2x3x5x7xf32>
}

// Rows that were collapsed as well stay so; sizes of a dynamic batch are those of the tensor that has them.
// CHECK-LABEL: func.func @dynamic
// CHECK-SAME: %[[Q:.*]]: tensor<?x3x5x2x4xf32>
// CHECK: %[[FLAT:.*]] = tensor.collapse_shape %[[Q]] {{\[\[}}0], [1], [2, 3], [4]]
// CHECK: linalg.generic {{.*}} ins(%[[FLAT]], %{{.*}} : tensor<?x3x10x4xf32>, tensor<?x3x4x7xf32>) outs(%{{.*}} : tensor<?x3x10x7xf32>)
func.func @dynamic(%q: tensor<?x3x5x2x4xf32>, %k: tensor<?x4x7xf32>, %n: index) -> tensor<?x10x7xf32> {
  %zero = arith.constant 0.0 : f32
  %flat = tensor.collapse_shape %q [[0, 1], [2, 3], [4]] : tensor<?x3x5x2x4xf32> into tensor<?x10x4xf32>
  %e = tensor.empty(%n) : tensor<?x10x7xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<?x10x7xf32>) -> tensor<?x10x7xf32>
  %s = linalg.generic {indexing_maps = [#a, #b, #c], iterator_types = ["parallel", "parallel", "parallel", "reduction"]} ins(%flat, %k : tensor<?x10x4xf32>, tensor<?x4x7xf32>) outs(%f : tensor<?x10x7xf32>) {
  ^bb0(%l: f32, %r: f32, %out: f32):
    %0 = arith.mulf %l, %r : f32
    %1 = arith.addf %out, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<?x10x7xf32>
  return %s : tensor<?x10x7xf32>
}

// Rows are no batch: a product with a weight keeps them as one.
// CHECK-LABEL: func.func @weight
// CHECK: linalg.generic {{.*}} ins(%{{.*}}, %{{.*}} : tensor<6x4xf32>, tensor<4x8xf32>)
func.func @weight(%x: tensor<2x3x4xf32>, %w: tensor<4x8xf32>) -> tensor<6x8xf32> {
  %zero = arith.constant 0.0 : f32
  %flat = tensor.collapse_shape %x [[0, 1], [2]] : tensor<2x3x4xf32> into tensor<6x4xf32>
  %e = tensor.empty() : tensor<6x8xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<6x8xf32>) -> tensor<6x8xf32>
  %s = linalg.generic {indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (k, n)>, affine_map<(m, n, k) -> (m, n)>], iterator_types = ["parallel", "parallel", "reduction"]} ins(%flat, %w : tensor<6x4xf32>, tensor<4x8xf32>) outs(%f : tensor<6x8xf32>) {
  ^bb0(%l: f32, %r: f32, %out: f32):
    %0 = arith.mulf %l, %r : f32
    %1 = arith.addf %out, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<6x8xf32>
  return %s : tensor<6x8xf32>
}
