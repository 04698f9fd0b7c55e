// RUN: neo-opt --neo-split-inits %s | FileCheck %s

#a = affine_map<(d0, d1, d2) -> (d0, d2)>
#b = affine_map<(d0, d1, d2) -> (d2, d1)>
#c = affine_map<(d0, d1, d2) -> (d0, d1)>

// The bias in the destination is added behind the contraction.
// CHECK-LABEL: func.func @main
// CHECK-SAME: %[[BIAS:[a-z0-9]*]]: tensor<4x16xf32>)
// CHECK: %[[ZERO:.*]] = linalg.fill
// CHECK: %[[SUM:.*]] = linalg.generic {{.*}} outs(%[[ZERO]] : tensor<4x16xf32>)
// CHECK: linalg.generic {{.*}} ins(%[[SUM]], %[[BIAS]] : tensor<4x16xf32>, tensor<4x16xf32>)
// CHECK: arith.addf
func.func @main(%x: tensor<4x8xf32>, %w: tensor<8x16xf32>, %bias: tensor<4x16xf32>) -> tensor<4x16xf32> {
  %r = linalg.generic {indexing_maps = [#a, #b, #c], iterator_types = ["parallel", "parallel", "reduction"]} ins(%x, %w : tensor<4x8xf32>, tensor<8x16xf32>) outs(%bias : tensor<4x16xf32>) {
  ^bb0(%p: f32, %q: f32, %s: f32):
    %0 = arith.mulf %p, %q : f32
    %1 = arith.addf %s, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<4x16xf32>
  return %r : tensor<4x16xf32>
}

// That of several groups of channels is reshaped behind its broadcast: it is reshaped itself, and read where it counts.
// CHECK-LABEL: func.func @groups
// CHECK-SAME: %[[BIAS:[a-z0-9]*]]: tensor<8xf32>)
// CHECK: %[[WIDE:.*]] = tensor.expand_shape %[[BIAS]] {{\[\[}}0, 1]] output_shape [2, 4]
// CHECK: linalg.generic {{.*}} ins(%{{.*}}, %[[WIDE]] : tensor<3x2x4xf32>, tensor<2x4xf32>)
// CHECK-NEXT: ^bb0
// CHECK-NEXT: arith.addf
func.func @groups(%x: tensor<3x2x5xf32>, %w: tensor<2x5x4xf32>, %bias: tensor<8xf32>) -> tensor<3x2x4xf32> {
  %e = tensor.empty() : tensor<3x8xf32>
  %b = linalg.generic {indexing_maps = [affine_map<(d0, d1) -> (d1)>, affine_map<(d0, d1) -> (d0, d1)>], iterator_types = ["parallel", "parallel"]} ins(%bias : tensor<8xf32>) outs(%e : tensor<3x8xf32>) {
  ^bb0(%p: f32, %o: f32):
    linalg.yield %p : f32
  } -> tensor<3x8xf32>
  %wide = tensor.expand_shape %b [[0], [1, 2]] output_shape [3, 2, 4] : tensor<3x8xf32> into tensor<3x2x4xf32>
  %r = linalg.generic {indexing_maps = [affine_map<(m, g, n, k) -> (m, g, k)>, affine_map<(m, g, n, k) -> (g, k, n)>, affine_map<(m, g, n, k) -> (m, g, n)>], iterator_types = ["parallel", "parallel", "parallel", "reduction"]} ins(%x, %w : tensor<3x2x5xf32>, tensor<2x5x4xf32>) outs(%wide : tensor<3x2x4xf32>) {
  ^bb0(%p: f32, %q: f32, %s: f32):
    %0 = arith.mulf %p, %q : f32
    %1 = arith.addf %s, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<3x2x4xf32>
  return %r : tensor<3x2x4xf32>
}
