// RUN: neo-opt --neo-schedule=target=x86-64-v4 %s | FileCheck %s
// RUN: neo-opt --neo-schedule=target=x86-64-v2 %s | FileCheck %s --check-prefix=V2

// Four channels a group, four groups a vector: of each of ten inputs four vectors are made by shuffles, which are
// multiplied with all of eight results that they belong to. The vector itself is loaded once.
// CHECK-LABEL:     func.func @groups
// CHECK-SAME:        neo.schedule = "depthwise"
// CHECK:             %[[X:.*]] = vector.load %{{.*}} : memref<10x16xf32>, vector<16xf32>
// CHECK:             vector.shuffle %[[X]], %[[X]] [0, 0, 0, 0, 4, 4, 4, 4, 8, 8, 8, 8, 12, 12, 12, 12]
// CHECK:             vector.shuffle %[[X]], %[[X]] [1, 1, 1, 1, 5, 5, 5, 5, 9, 9, 9, 9, 13, 13, 13, 13]
// CHECK-COUNT-95:    math.fma
// CHECK-NOT:         math.fma
// CHECK-COUNT-8:     vector.store
// V2-LABEL:        func.func @groups
// V2:                vector.shuffle %{{.*}} [3, 3, 3, 3] : vector<4xf32>
func.func @groups(%x: tensor<10x16xf32>, %w: tensor<3x4x16xf32>, %out: tensor<8x16xf32>) -> tensor<8x16xf32> {
  %zero = arith.constant 0.0 : f32
  %f = linalg.fill ins(%zero : f32) outs(%out : tensor<8x16xf32>) -> tensor<8x16xf32>
  %r = linalg.generic {
    indexing_maps = [affine_map<(i, n, k, c) -> (i + k, (n floordiv 4) * 4 + c)>, affine_map<(i, n, k, c) -> (k, c, n)>, affine_map<(i, n, k, c) -> (i, n)>],
    iterator_types = ["parallel", "parallel", "reduction", "reduction"]
  } ins(%x, %w : tensor<10x16xf32>, tensor<3x4x16xf32>) outs(%f : tensor<8x16xf32>) {
  ^bb0(%a: f32, %b: f32, %acc: f32):
    %p = arith.mulf %a, %b : f32
    %s = arith.addf %acc, %p : f32
    linalg.yield %s : f32
  } -> tensor<8x16xf32>
  return %r : tensor<8x16xf32>
}
