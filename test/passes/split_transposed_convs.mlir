// RUN: neo-opt --neo-split-transposed-convs %s | FileCheck %s

#in = affine_map<(d0, d1, d2, d3, d4, d5) -> (d0 + d3, d1 + d4, d5)>
#w = affine_map<(d0, d1, d2, d3, d4, d5) -> (d3, d4, d5, d2)>
#out = affine_map<(d0, d1, d2, d3, d4, d5) -> (d0, d1, d2)>
#id = affine_map<(d0, d1, d2) -> (d0, d1, d2)>
#ch = affine_map<(d0, d1, d2) -> (d2)>

// Each output block of 2x2 pixels is a product of one input pixel; the bias is added before the collapse.
// CHECK-DAG: #[[FLIP:.*]] = affine_map<(d0, d1, d2, d3) -> (-d0 + 1, -d1 + 1, d2, d3)>
// CHECK-DAG: #[[IN:.*]] = affine_map<(d0, d1, d2, d3, d4, d5) -> (d0, d2, d5)>
// CHECK-DAG: #[[W:.*]] = affine_map<(d0, d1, d2, d3, d4, d5) -> (d1, d3, d5, d4)>
// CHECK-LABEL: func.func @main
// CHECK-SAME: (%[[X:.*]]: tensor<4x5x3xf32>,
// CHECK: linalg.generic {indexing_maps = [#[[FLIP]],
// CHECK: %[[P:.*]] = linalg.generic {indexing_maps = [#[[IN]], #[[W]], #{{.*}}], {{.*}} ins(%[[X]], {{.*}} outs(%{{.*}} : tensor<4x2x5x2x8xf32>)
// CHECK: %[[E:.*]] = linalg.generic {{.*}} ins(%[[P]], %{{.*}} : tensor<4x2x5x2x8xf32>, tensor<8xf32>)
// CHECK: tensor.collapse_shape %[[E]] {{\[}}[0, 1], [2, 3], [4]]
func.func @main(%x: tensor<4x5x3xf32>, %w: tensor<2x2x3x8xf32>, %b: tensor<8xf32>) -> tensor<8x10x8xf32> {
  %zero = arith.constant 0.0 : f32
  %ez = tensor.empty() : tensor<9x11x3xf32>
  %z = linalg.fill ins(%zero : f32) outs(%ez : tensor<9x11x3xf32>) -> tensor<9x11x3xf32>
  %s = tensor.insert_slice %x into %z[1, 1, 0] [4, 5, 3] [2, 2, 1] : tensor<4x5x3xf32> into tensor<9x11x3xf32>
  %e = tensor.empty() : tensor<8x10x8xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<8x10x8xf32>) -> tensor<8x10x8xf32>
  %c = linalg.generic {indexing_maps = [#in, #w, #out], iterator_types = ["parallel", "parallel", "parallel", "reduction", "reduction", "reduction"]} ins(%s, %w : tensor<9x11x3xf32>, tensor<2x2x3x8xf32>) outs(%f : tensor<8x10x8xf32>) {
  ^bb0(%p: f32, %q: f32, %t: f32):
    %0 = arith.mulf %p, %q : f32
    %1 = arith.addf %t, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<8x10x8xf32>
  %r = linalg.generic {indexing_maps = [#id, #ch, #id], iterator_types = ["parallel", "parallel", "parallel"]} ins(%c, %b : tensor<8x10x8xf32>, tensor<8xf32>) outs(%e : tensor<8x10x8xf32>) {
  ^bb0(%p: f32, %q: f32, %t: f32):
    %0 = arith.addf %p, %q : f32
    linalg.yield %0 : f32
  } -> tensor<8x10x8xf32>
  return %r : tensor<8x10x8xf32>
}

// One pixel makes a block as large as the window, whatever the stride; the dimensions of one element that the input has
// lost are read by no loop.
// CHECK-LABEL: func.func @pixel
// CHECK-SAME: (%[[X:.*]]: tensor<3xf32>,
// CHECK: linalg.generic {{.*}} ins(%[[X]], %{{.*}} : tensor<3xf32>, tensor<4x4x3x8xf32>) outs(%{{.*}} : tensor<1x4x1x4x8xf32>)
func.func @pixel(%x: tensor<3xf32>, %w: tensor<4x4x3x8xf32>) -> tensor<4x4x8xf32> {
  %zero = arith.constant 0.0 : f32
  %ez = tensor.empty() : tensor<7x7x3xf32>
  %z = linalg.fill ins(%zero : f32) outs(%ez : tensor<7x7x3xf32>) -> tensor<7x7x3xf32>
  %s = tensor.insert_slice %x into %z[3, 3, 0] [1, 1, 3] [1, 1, 1] : tensor<3xf32> into tensor<7x7x3xf32>
  %e = tensor.empty() : tensor<4x4x8xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<4x4x8xf32>) -> tensor<4x4x8xf32>
  %c = linalg.generic {indexing_maps = [#in, #w, #out], iterator_types = ["parallel", "parallel", "parallel", "reduction", "reduction", "reduction"]} ins(%s, %w : tensor<7x7x3xf32>, tensor<4x4x3x8xf32>) outs(%f : tensor<4x4x8xf32>) {
  ^bb0(%p: f32, %q: f32, %t: f32):
    %0 = arith.mulf %p, %q : f32
    %1 = arith.addf %t, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<4x4x8xf32>
  return %c : tensor<4x4x8xf32>
}
