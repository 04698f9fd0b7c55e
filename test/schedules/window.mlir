// RUN: neo-opt --neo-schedule="target=x86-64-v4 ladder=window" %s | FileCheck %s

// The window's loops are written out around a tile of neighbouring points: 8 points of a 1x3 window read 10 inputs.
// CHECK-LABEL:    func.func @depthwise
// CHECK-SAME:       neo.schedule = "window"
// CHECK-COUNT-13: vector.load
// CHECK-NOT:      vector.load
// CHECK-COUNT-8:  vector.store
func.func @depthwise(%x: tensor<10x16xf32>, %w: tensor<3x16xf32>, %out: tensor<8x16xf32>) -> tensor<8x16xf32> {
  %zero = arith.constant 0.0 : f32
  %f = linalg.fill ins(%zero : f32) outs(%out : tensor<8x16xf32>) -> tensor<8x16xf32>
  %r = linalg.generic {
    indexing_maps = [affine_map<(i, c, k) -> (i + k, c)>, affine_map<(i, c, k) -> (k, c)>, affine_map<(i, c, k) -> (i, c)>],
    iterator_types = ["parallel", "parallel", "reduction"]
  } ins(%x, %w : tensor<10x16xf32>, tensor<3x16xf32>) outs(%f : tensor<8x16xf32>) {
  ^bb0(%a: f32, %b: f32, %acc: f32):
    %p = arith.mulf %a, %b : f32
    %s = arith.addf %acc, %p : f32
    linalg.yield %s : f32
  } -> tensor<8x16xf32>
  return %r : tensor<8x16xf32>
}
