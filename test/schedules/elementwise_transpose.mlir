// RUN: neo-opt --neo-schedule=target=x86-64-v4 %s | FileCheck %s

// A transposed operand is read in square blocks and transposed in registers: 4 rounds of 16 shuffles.
// CHECK-LABEL:     func.func @transpose
// CHECK-COUNT-16:  vector.load %{{.*}} : memref<32x48xf32>, vector<16xf32>
// CHECK-COUNT-64:  vector.shuffle
// CHECK-NOT:       vector.shuffle
// CHECK-COUNT-16:  vector.store %{{.*}} : memref<48x32xf32>, vector<16xf32>
func.func @transpose(%a: tensor<32x48xf32>, %out: tensor<48x32xf32>) -> tensor<48x32xf32> {
  %r = linalg.generic {
    indexing_maps = [affine_map<(i, j) -> (j, i)>, affine_map<(i, j) -> (i, j)>],
    iterator_types = ["parallel", "parallel"]
  } ins(%a : tensor<32x48xf32>) outs(%out : tensor<48x32xf32>) {
  ^bb0(%x: f32, %o: f32):
    linalg.yield %x : f32
  } -> tensor<48x32xf32>
  return %r : tensor<48x32xf32>
}
