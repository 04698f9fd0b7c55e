// RUN: neo-opt --neo-schedule=target=sapphirerapids %s | FileCheck %s

// Sixteen rows of sixteen groups are transposed as words of 32 bits.
// CHECK-LABEL: func.func @groups_side_by_side
// CHECK-SAME:    neo.schedule = "interleave"
// CHECK:         scf.forall
// CHECK-COUNT-16: vector.load {{.*}} : memref<2048xbf16>, vector<32xbf16>
// CHECK-COUNT-64: vector.shuffle {{.*}} : vector<16xi32>, vector<16xi32>
// CHECK-COUNT-16: vector.store {{.*}} : memref<2048xbf16>, vector<32xbf16>
#groups = affine_map<(d0, d1, d2, d3, d4) -> (d1, d0, d3, d2, d4)>
#columns = affine_map<(d0, d1, d2, d3, d4) -> (d1, d2, d4, d0, d3)>
#result = affine_map<(d0, d1, d2, d3, d4) -> (d0, d1, d2, d3, d4)>
func.func @groups_side_by_side(%k: tensor<2x2x16x16x2xbf16>, %out: tensor<2x2x16x16x2xbf16>) -> tensor<2x2x16x16x2xbf16> {
  %r = linalg.generic {indexing_maps = [#groups, #result], iterator_types = ["parallel", "parallel", "parallel", "parallel", "parallel"]} ins(%k : tensor<2x2x16x16x2xbf16>) outs(%out : tensor<2x2x16x16x2xbf16>) {
  ^bb0(%x: bf16, %o: bf16):
    linalg.yield %x : bf16
  } -> tensor<2x2x16x16x2xbf16>
  return %r : tensor<2x2x16x16x2xbf16>
}

// Two rows become one.
// CHECK-LABEL: func.func @columns_side_by_side
// CHECK-COUNT-2: vector.load {{.*}} vector<32xbf16>
// CHECK:         vector.shuffle %{{.*}}, %{{.*}} [0, 32, 1, 33, {{.*}}] : vector<32xbf16>, vector<32xbf16>
// CHECK:         vector.store {{.*}} vector<64xbf16>
func.func @columns_side_by_side(%v: tensor<2x8x2x3x32xbf16>, %out: tensor<3x2x8x32x2xbf16>) -> tensor<3x2x8x32x2xbf16> {
  %r = linalg.generic {indexing_maps = [#columns, #result], iterator_types = ["parallel", "parallel", "parallel", "parallel", "parallel"]} ins(%v : tensor<2x8x2x3x32xbf16>) outs(%out : tensor<3x2x8x32x2xbf16>) {
  ^bb0(%x: bf16, %o: bf16):
    linalg.yield %x : bf16
  } -> tensor<3x2x8x32x2xbf16>
  return %r : tensor<3x2x8x32x2xbf16>
}
