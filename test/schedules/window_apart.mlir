// RUN: neo-opt --neo-schedule="target=x86-64-v4 ladder=window" %s | FileCheck %s

// Windows that do not overlap share nothing: each point's vectors are summed by themselves, as they lie in memory.
// CHECK-LABEL:     func.func @apart
// CHECK-SAME:        rows = 1 : i64, vectors = 4 : i64
// CHECK-COUNT-16:  vector.load
// CHECK-NOT:       vector.load
// CHECK-COUNT-4:   vector.store
func.func @apart(%x: tensor<16x16x64xf32>, %out: tensor<8x8x64xf32>) -> tensor<8x8x64xf32> {
  %zero = arith.constant 0.0 : f32
  %w = tensor.empty() : tensor<2x2xf32>
  %f = linalg.fill ins(%zero : f32) outs(%out : tensor<8x8x64xf32>) -> tensor<8x8x64xf32>
  %r = linalg.generic {
    indexing_maps = [affine_map<(h, v, c, a, b) -> (h * 2 + a, v * 2 + b, c)>, affine_map<(h, v, c, a, b) -> (a, b)>, affine_map<(h, v, c, a, b) -> (h, v, c)>],
    iterator_types = ["parallel", "parallel", "parallel", "reduction", "reduction"]
  } ins(%x, %w : tensor<16x16x64xf32>, tensor<2x2xf32>) outs(%f : tensor<8x8x64xf32>) {
  ^bb0(%a: f32, %b: f32, %acc: f32):
    %s = arith.addf %acc, %a : f32
    linalg.yield %s : f32
  } -> tensor<8x8x64xf32>
  return %r : tensor<8x8x64xf32>
}
