// RUN: neo-opt --neo-schedule=target=x86-64-v4 %s | FileCheck %s

// Rows are lanes: a block of 16 rows times 16 steps is transposed in registers, in four rounds of sixteen shuffles, and
// each step multiplies a vector of rows with a weight of every column.
// CHECK-LABEL:    func.func @columns
// CHECK-SAME:       neo.schedule = "narrow"
// CHECK:            scf.for
// CHECK-COUNT-16:     vector.load
// CHECK-COUNT-64:     vector.shuffle
// CHECK-NOT:          vector.shuffle
// CHECK:              vector.broadcast
// CHECK-COUNT-32:     math.fma
// CHECK-NOT:          math.fma
// CHECK:              vector.extract
func.func @columns(%x: tensor<64x16xf32>, %w: tensor<16x2xf32>, %out: tensor<64x2xf32>) -> tensor<64x2xf32> {
  %zero = arith.constant 0.0 : f32
  %f = linalg.fill ins(%zero : f32) outs(%out : tensor<64x2xf32>) -> tensor<64x2xf32>
  %r = linalg.generic {
    indexing_maps = [affine_map<(i, j, k) -> (i, k)>, affine_map<(i, j, k) -> (k, j)>, affine_map<(i, j, k) -> (i, j)>],
    iterator_types = ["parallel", "parallel", "reduction"]
  } ins(%x, %w : tensor<64x16xf32>, tensor<16x2xf32>) outs(%f : tensor<64x2xf32>) {
  ^bb0(%a: f32, %b: f32, %acc: f32):
    %p = arith.mulf %a, %b : f32
    %s = arith.addf %acc, %p : f32
    linalg.yield %s : f32
  } -> tensor<64x2xf32>
  return %r : tensor<64x2xf32>
}
