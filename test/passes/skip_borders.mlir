// RUN: neo-opt --neo-skip-borders --canonicalize --cse --split-input-file %s | FileCheck %s

// Points 36 places apart, over 14 places: the middle of the window is all that meets the input.
// CHECK-LABEL: func.func @middle
// CHECK-SAME:    (%[[X:.*]]: tensor<1x8x14x14xf32>, %[[W:.*]]: tensor<16x8x3x3xf32>)
// CHECK-NOT:     tensor.pad
// CHECK:         %[[PART:.*]] = tensor.extract_slice %[[W]][0, 0, 1, 1] [16, 8, 1, 1]
// CHECK:         linalg.generic {{.*}} ins(%[[X]], %[[PART]] : tensor<1x8x14x14xf32>, tensor<16x8x1x1xf32>)
#out = affine_map<(n, f, h, w, c, a, b) -> (n, f, h, w)>
#filter = affine_map<(n, f, h, w, c, a, b) -> (f, c, a, b)>
func.func @middle(%x: tensor<1x8x14x14xf32>, %w: tensor<16x8x3x3xf32>) -> tensor<1x16x14x14xf32> {
  %zero = arith.constant 0.0 : f32
  %p = tensor.pad %x low[0, 0, 36, 36] high[0, 0, 36, 36] {
  ^bb0(%i: index, %j: index, %k: index, %l: index):
    tensor.yield %zero : f32
  } : tensor<1x8x14x14xf32> to tensor<1x8x86x86xf32>
  %e = tensor.empty() : tensor<1x16x14x14xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<1x16x14x14xf32>) -> tensor<1x16x14x14xf32>
  %r = linalg.generic {indexing_maps = [affine_map<(n, f, h, w, c, a, b) -> (n, c, h + a * 36, w + b * 36)>, #filter, #out],
      iterator_types = ["parallel", "parallel", "parallel", "parallel", "reduction", "reduction", "reduction"]}
      ins(%p, %w : tensor<1x8x86x86xf32>, tensor<16x8x3x3xf32>) outs(%f : tensor<1x16x14x14xf32>) {
  ^bb0(%s: f32, %t: f32, %acc: f32):
    %0 = arith.mulf %s, %t : f32
    %1 = arith.addf %acc, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<1x16x14x14xf32>
  return %r : tensor<1x16x14x14xf32>
}

// -----

// 12 places apart: two rows that meet the lower two points of the window, ten that meet one, two that meet the upper two.
// Columns keep their border.
// CHECK-LABEL: func.func @bands
// CHECK:         tensor.extract_slice %{{.*}}[0, 0, 1, 0] [16, 8, 2, 3]
// CHECK:         linalg.generic {{.*}} ins(%{{.*}}, %{{.*}} : tensor<1x8x14x38xf32>, tensor<16x8x2x3xf32>) outs(%{{.*}} : tensor<1x16x2x14xf32>)
// CHECK:         linalg.generic {{.*}} ins(%{{.*}}, %{{.*}} : tensor<1x8x10x38xf32>, tensor<16x8x1x3xf32>) outs(%{{.*}} : tensor<1x16x10x14xf32>)
// CHECK:         linalg.generic {{.*}} ins(%{{.*}}, %{{.*}} : tensor<1x8x14x38xf32>, tensor<16x8x2x3xf32>) outs(%{{.*}} : tensor<1x16x2x14xf32>)
// CHECK:         tensor.concat dim(2)
#out = affine_map<(n, f, h, w, c, a, b) -> (n, f, h, w)>
#filter = affine_map<(n, f, h, w, c, a, b) -> (f, c, a, b)>
func.func @bands(%x: tensor<1x8x14x14xf32>, %w: tensor<16x8x3x3xf32>) -> tensor<1x16x14x14xf32> {
  %zero = arith.constant 0.0 : f32
  %p = tensor.pad %x low[0, 0, 12, 12] high[0, 0, 12, 12] {
  ^bb0(%i: index, %j: index, %k: index, %l: index):
    tensor.yield %zero : f32
  } : tensor<1x8x14x14xf32> to tensor<1x8x38x38xf32>
  %e = tensor.empty() : tensor<1x16x14x14xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<1x16x14x14xf32>) -> tensor<1x16x14x14xf32>
  %r = linalg.generic {indexing_maps = [affine_map<(n, f, h, w, c, a, b) -> (n, c, h + a * 12, w + b * 12)>, #filter, #out],
      iterator_types = ["parallel", "parallel", "parallel", "parallel", "reduction", "reduction", "reduction"]}
      ins(%p, %w : tensor<1x8x38x38xf32>, tensor<16x8x3x3xf32>) outs(%f : tensor<1x16x14x14xf32>) {
  ^bb0(%s: f32, %t: f32, %acc: f32):
    %0 = arith.mulf %s, %t : f32
    %1 = arith.addf %acc, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<1x16x14x14xf32>
  return %r : tensor<1x16x14x14xf32>
}

// -----

// What saves next to nothing, a border of one place, stays one convolution.
// CHECK-LABEL: func.func @narrow
// CHECK:         tensor.pad
// CHECK-NOT:     tensor.extract_slice
// CHECK:         linalg.generic {{.*}} ins(%{{.*}}, %{{.*}} : tensor<1x8x16x16xf32>, tensor<16x8x3x3xf32>)
// CHECK-NOT:     tensor.concat
#out = affine_map<(n, f, h, w, c, a, b) -> (n, f, h, w)>
#filter = affine_map<(n, f, h, w, c, a, b) -> (f, c, a, b)>
func.func @narrow(%x: tensor<1x8x14x14xf32>, %w: tensor<16x8x3x3xf32>) -> tensor<1x16x14x14xf32> {
  %zero = arith.constant 0.0 : f32
  %p = tensor.pad %x low[0, 0, 1, 1] high[0, 0, 1, 1] {
  ^bb0(%i: index, %j: index, %k: index, %l: index):
    tensor.yield %zero : f32
  } : tensor<1x8x14x14xf32> to tensor<1x8x16x16xf32>
  %e = tensor.empty() : tensor<1x16x14x14xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<1x16x14x14xf32>) -> tensor<1x16x14x14xf32>
  %r = linalg.generic {indexing_maps = [affine_map<(n, f, h, w, c, a, b) -> (n, c, h + a, w + b)>, #filter, #out],
      iterator_types = ["parallel", "parallel", "parallel", "parallel", "reduction", "reduction", "reduction"]}
      ins(%p, %w : tensor<1x8x16x16xf32>, tensor<16x8x3x3xf32>) outs(%f : tensor<1x16x14x14xf32>) {
  ^bb0(%s: f32, %t: f32, %acc: f32):
    %0 = arith.mulf %s, %t : f32
    %1 = arith.addf %acc, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<1x16x14x14xf32>
  return %r : tensor<1x16x14x14xf32>
}
