// RUN: neo-opt --neo-schedule=target=x86-64-v3 %s | FileCheck %s

// Two blocks of 8 x 8 lie side by side, so that a cache line of the result is written at once. The longer rows are
// walked first: those of the result here.
// CHECK-LABEL:     func.func @wide
// CHECK:           scf.for
// CHECK:             scf.for
// CHECK-COUNT-8:       vector.load %{{.*}} : memref<64x16xf32>, vector<8xf32>
// CHECK-COUNT-8:       vector.store %{{.*}} : memref<16x64xf32>, vector<8xf32>
// CHECK-COUNT-8:       vector.load %{{.*}} : memref<64x16xf32>, vector<8xf32>
// CHECK-COUNT-8:       vector.store %{{.*}} : memref<16x64xf32>, vector<8xf32>
// CHECK-NEXT:        }
func.func @wide(%a: tensor<64x16xf32>, %out: tensor<16x64xf32>) -> tensor<16x64xf32> {
  %r = linalg.generic {
    indexing_maps = [affine_map<(i, j) -> (j, i)>, affine_map<(i, j) -> (i, j)>],
    iterator_types = ["parallel", "parallel"]
  } ins(%a : tensor<64x16xf32>) outs(%out : tensor<16x64xf32>) {
  ^bb0(%x: f32, %o: f32):
    linalg.yield %x : f32
  } -> tensor<16x64xf32>
  return %r : tensor<16x64xf32>
}

// Sizes that are no multiple of a vector are cut into the same blocks.
// CHECK-LABEL:     func.func @odd
// CHECK:           vector.shuffle
// CHECK:           vector.maskedstore
func.func @odd(%a: tensor<53x19xf32>, %out: tensor<19x53xf32>) -> tensor<19x53xf32> {
  %r = linalg.generic {
    indexing_maps = [affine_map<(i, j) -> (j, i)>, affine_map<(i, j) -> (i, j)>],
    iterator_types = ["parallel", "parallel"]
  } ins(%a : tensor<53x19xf32>) outs(%out : tensor<19x53xf32>) {
  ^bb0(%x: f32, %o: f32):
    linalg.yield %x : f32
  } -> tensor<19x53xf32>
  return %r : tensor<19x53xf32>
}
