// RUN: neo-opt --neo-phase-transposed-convs %s | FileCheck %s

#in = affine_map<(d0, d1, d2, d3) -> (d0 + d2, d3)>
#w = affine_map<(d0, d1, d2, d3) -> (d2, d3, d1)>
#out = affine_map<(d0, d1, d2, d3) -> (d0, d1)>
#id = affine_map<(d0, d1) -> (d0, d1)>
#ch = affine_map<(d0, d1) -> (d1)>

// CHECK-DAG: #[[TAPS:.*]] = affine_map<(d0, d1, d2, d3) -> (d1 * 2 + d0, d2, d3)>
// CHECK-DAG: #[[NEXT:.*]] = affine_map<(d0, d1, d2, d3, d4) -> (d0 + d3 + d1, d4)>
// CHECK-DAG: #[[W:.*]] = affine_map<(d0, d1, d2, d3, d4) -> (d1, d3, d4, d2)>
// CHECK-DAG: #[[FLIP:.*]] = affine_map<(d0, d1, d2, d3) -> (d1 * 4 + -d0 + 3, d2, d3)>
// CHECK-DAG: #[[SAME:.*]] = affine_map<(d0, d1, d2, d3, d4) -> (d0 + d3, d4)>

// Four taps, two apart: each of two phases sees two of them, the second an input further on; what follows moves along.
// CHECK-LABEL: func.func @next
// CHECK-SAME: (%[[X:.*]]: tensor<5x3xf32>, %[[K:.*]]: tensor<4x3x8xf32>
// CHECK: %[[P:.*]] = tensor.pad %[[X]] low[1, 0] high[1, 0]
// CHECK: %[[F:.*]] = linalg.generic {indexing_maps = [#[[TAPS]], {{.*}} ins(%[[K]] : tensor<4x3x8xf32>) outs(%{{.*}} : tensor<2x2x3x8xf32>)
// CHECK: %[[C:.*]] = linalg.generic {indexing_maps = [#[[NEXT]], #[[W]], {{.*}} ins(%[[P]], %[[F]] : {{.*}}) outs(%{{.*}} : tensor<5x2x8xf32>)
// CHECK: %[[E:.*]] = linalg.generic {{.*}} ins(%[[C]], %{{.*}} : tensor<5x2x8xf32>, tensor<8xf32>)
// CHECK: tensor.collapse_shape %[[E]] {{\[\[}}0, 1], [2]]
func.func @next(%x: tensor<5x3xf32>, %w: tensor<4x3x8xf32>, %b: tensor<8xf32>) -> tensor<10x8xf32> {
  %zero = arith.constant 0.0 : f32
  %ez = tensor.empty() : tensor<13x3xf32>
  %z = linalg.fill ins(%zero : f32) outs(%ez : tensor<13x3xf32>) -> tensor<13x3xf32>
  %s = tensor.insert_slice %x into %z[2, 0] [5, 3] [2, 1] : tensor<5x3xf32> into tensor<13x3xf32>
  %e = tensor.empty() : tensor<10x8xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<10x8xf32>) -> tensor<10x8xf32>
  %c = linalg.generic {indexing_maps = [#in, #w, #out], iterator_types = ["parallel", "parallel", "reduction", "reduction"]} ins(%s, %w : tensor<13x3xf32>, tensor<4x3x8xf32>) outs(%f : tensor<10x8xf32>) {
  ^bb0(%p: f32, %q: f32, %t: f32):
    %0 = arith.mulf %p, %q : f32
    %1 = arith.addf %t, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<10x8xf32>
  %r = linalg.generic {indexing_maps = [#id, #ch, #id], iterator_types = ["parallel", "parallel"]} ins(%c, %b : tensor<10x8xf32>, tensor<8xf32>) outs(%e : tensor<10x8xf32>) {
  ^bb0(%p: f32, %q: f32, %t: f32):
    %0 = arith.addf %p, %q : f32
    linalg.yield %0 : f32
  } -> tensor<10x8xf32>
  return %r : tensor<10x8xf32>
}

// Seven taps, four apart, the first input two pixels early: two pixels more are computed in front and two behind.
// CHECK-LABEL: func.func @shifted
// CHECK: tensor.pad %{{.*}} low[0, 0, 0] high[1, 0, 0]
// CHECK: linalg.generic {indexing_maps = [#[[FLIP]], {{.*}} outs(%{{.*}} : tensor<4x2x3x8xf32>)
// CHECK: %[[C:.*]] = linalg.generic {indexing_maps = [#[[SAME]], #[[W]], {{.*}} outs(%{{.*}} : tensor<6x4x8xf32>)
// CHECK: %[[FLAT:.*]] = tensor.collapse_shape %[[C]] {{\[\[}}0, 1], [2]]
// CHECK: tensor.extract_slice %[[FLAT]][2, 0] [20, 8] [1, 1]
func.func @shifted(%x: tensor<5x3xf32>, %w: tensor<7x3x8xf32>) -> tensor<20x8xf32> {
  %zero = arith.constant 0.0 : f32
  %ez = tensor.empty() : tensor<26x3xf32>
  %z = linalg.fill ins(%zero : f32) outs(%ez : tensor<26x3xf32>) -> tensor<26x3xf32>
  %s = tensor.insert_slice %x into %z[5, 0] [5, 3] [4, 1] : tensor<5x3xf32> into tensor<26x3xf32>
  %e = tensor.empty() : tensor<20x8xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<20x8xf32>) -> tensor<20x8xf32>
  %c = linalg.generic {indexing_maps = [#in, #w, #out], iterator_types = ["parallel", "parallel", "reduction", "reduction"]} ins(%s, %w : tensor<26x3xf32>, tensor<7x3x8xf32>) outs(%f : tensor<20x8xf32>) {
  ^bb0(%p: f32, %q: f32, %t: f32):
    %0 = arith.mulf %p, %q : f32
    %1 = arith.addf %t, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<20x8xf32>
  return %c : tensor<20x8xf32>
}
