// RUN: neo-opt --neo-schedule=target=x86-64-v4 %s | FileCheck %s

// A transpose goes by blocks of 128 rows of the result, each over blocks of the operand's rows: the inner loop walks along them.
// CHECK-LABEL: func.func @transpose
// CHECK-SAME:  strip = 128
// CHECK:       scf.forall (%{{.*}}) in (4)
// CHECK:       scf.for %[[ROW:.*]] = %{{.*}} step %{{.*}} {
// CHECK:       scf.for %[[COLUMN:.*]] = %{{.*}} step %{{.*}} {
// CHECK:       vector.load %{{.*}}[%[[ROW]], %[[COLUMN]]] : memref<256x256xf32>, vector<16xf32>
// CHECK:       vector.store %{{.*}}[%[[COLUMN]], %[[ROW]]] : memref<256x256xf32>, vector<16xf32>
func.func @transpose(%a: tensor<256x256xf32>, %out: tensor<256x256xf32>) -> tensor<256x256xf32> {
  %r = linalg.generic {
    indexing_maps = [affine_map<(i, j) -> (j, i)>, affine_map<(i, j) -> (i, j)>],
    iterator_types = ["parallel", "parallel"]
  } ins(%a : tensor<256x256xf32>) outs(%out : tensor<256x256xf32>) {
  ^bb0(%x: f32, %o: f32):
    linalg.yield %x : f32
  } -> tensor<256x256xf32>
  return %r : tensor<256x256xf32>
}
