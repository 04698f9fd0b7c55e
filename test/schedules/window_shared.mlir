// RUN: neo-opt --neo-schedule=target=x86-64-v4 %s | FileCheck %s
// RUN: neo-opt --neo-schedule=target=x86-64-v3 %s | FileCheck %s --check-prefix=FEW

// Sums over windows that share a column: two results side by side, and as many channels of each as registers hold, since
// what is read then lies in long runs.
// CHECK-LABEL: func.func @pool
// CHECK:         scf.for %{{.*}} = %c0 to %c256 step %c128
// CHECK-COUNT-16: vector.store %{{.*}} : memref<8x8x256xf32>, vector<16xf32>
// CHECK-NOT:     vector.store
// FEW-LABEL: func.func @pool
// FEW:         scf.for %{{.*}} = %c0 to %c256 step %c32
// FEW-COUNT-8: vector.store %{{.*}} : memref<8x8x256xf32>, vector<8xf32>
// FEW-NOT:     vector.store
func.func @pool(%x: tensor<17x17x256xf32>, %out: tensor<8x8x256xf32>) -> tensor<8x8x256xf32> {
  %zero = arith.constant 0.0 : f32
  %window = tensor.empty() : tensor<3x3xf32>
  %f = linalg.fill ins(%zero : f32) outs(%out : tensor<8x8x256xf32>) -> tensor<8x8x256xf32>
  %r = linalg.generic {
      indexing_maps = [affine_map<(y, x, c, i, j) -> (2 * y + i, 2 * x + j, c)>, affine_map<(y, x, c, i, j) -> (i, j)>, affine_map<(y, x, c, i, j) -> (y, x, c)>],
      iterator_types = ["parallel", "parallel", "parallel", "reduction", "reduction"]}
      ins(%x, %window : tensor<17x17x256xf32>, tensor<3x3xf32>) outs(%f : tensor<8x8x256xf32>) {
  ^bb0(%a: f32, %w: f32, %acc: f32):
    %0 = arith.addf %acc, %a : f32
    linalg.yield %0 : f32
  } -> tensor<8x8x256xf32>
  return %r : tensor<8x8x256xf32>
}
