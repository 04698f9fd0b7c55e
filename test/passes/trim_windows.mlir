// RUN: neo-opt --neo-trim-windows %s | FileCheck %s
// RUN: neo-opt --neo-trim-windows --linalg-fold-unit-extent-dims --canonicalize %s | FileCheck %s --check-prefix=FOLDED

// One window of 3 along the first dimension, and the fourth and fifth place of it are not read; of the second all are
// but the last, which keeps it, since there are two windows.
// CHECK-LABEL: func.func @main
// CHECK:         %[[READ:.*]] = tensor.extract_slice %{{.*}}[0, 0] [3, 6] [1, 1] : tensor<5x6xf32> to tensor<3x6xf32>
// CHECK:         linalg.generic {{.*}} ins(%[[READ]], %{{.*}} : tensor<3x6xf32>, tensor<3x2xf32>)
// FOLDED-LABEL: func.func @main
// FOLDED:         linalg.generic
func.func @main(%x: tensor<5x6xf32>, %w: tensor<3x2xf32>, %o: tensor<1x2xf32>) -> tensor<1x2xf32> {
  %r = linalg.generic {
    indexing_maps = [affine_map<(d0, d1, d2, d3) -> (d0 * 3 + d2, d1 * 3 + d3)>, affine_map<(d0, d1, d2, d3) -> (d2, d3)>, affine_map<(d0, d1, d2, d3) -> (d0, d1)>],
    iterator_types = ["parallel", "parallel", "reduction", "reduction"]
  } ins(%x, %w : tensor<5x6xf32>, tensor<3x2xf32>) outs(%o : tensor<1x2xf32>) {
  ^bb0(%a: f32, %b: f32, %acc: f32):
    %p = arith.mulf %a, %b : f32
    %s = arith.addf %acc, %p : f32
    linalg.yield %s : f32
  } -> tensor<1x2xf32>
  return %r : tensor<1x2xf32>
}

// A window of 1 at a stride of 2 reads every other place: no copy of the first seven of eight is made.
// CHECK-LABEL: func.func private @strided
// CHECK-NOT:     tensor.extract_slice
// CHECK:         return
// FOLDED-LABEL: func.func private @strided
// FOLDED:         linalg.generic {{.*}} ins(%{{.*}} : tensor<8xf32>, tensor<5xf32>, tensor<4x5xf32>)
func.func private @strided(%x: tensor<8xf32>, %w: tensor<1x5xf32>, %o: tensor<4x5xf32>) -> tensor<4x5xf32> {
  %r = linalg.generic {
    indexing_maps = [affine_map<(d0, d1, d2) -> (d0 * 2 + d2)>, affine_map<(d0, d1, d2) -> (d2, d1)>, affine_map<(d0, d1, d2) -> (d0, d1)>],
    iterator_types = ["parallel", "parallel", "reduction"]
  } ins(%x, %w : tensor<8xf32>, tensor<1x5xf32>) outs(%o : tensor<4x5xf32>) {
  ^bb0(%a: f32, %b: f32, %acc: f32):
    %p = arith.mulf %a, %b : f32
    %s = arith.addf %acc, %p : f32
    linalg.yield %s : f32
  } -> tensor<4x5xf32>
  return %r : tensor<4x5xf32>
}
