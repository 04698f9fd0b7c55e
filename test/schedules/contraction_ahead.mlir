// RUN: neo-opt --neo-schedule=target=x86-64-v4 %s | FileCheck %s

// Each of the 2 tiles of a panel (28 rows in strips of 14) fetches a half of the panel behind it.
// CHECK-LABEL: func.func @matmul
// CHECK-DAG:     %[[FLAT:.*]] = memref.collapse_shape %{{.*}} {{\[\[}}0, 1, 2]] : memref<4x64x32xf32> into memref<8192xf32>
// CHECK-DAG:     %[[LAST:.*]] = arith.constant 3 : index
// CHECK:         arith.minsi %{{.*}}, %[[LAST]]
// CHECK:         scf.for %[[K:.*]] = %{{.*}} iter_args
// CHECK:           %[[AT:.*]] = arith.shrui %{{.*}}, %c1
// CHECK:           memref.prefetch %[[FLAT]][%[[AT]]], read, locality<2>, data : memref<8192xf32>
// CHECK:           math.fma
func.func @matmul(%a: tensor<28x64xf32>, %b: tensor<4x64x32xf32>, %out: tensor<28x128xf32>) -> tensor<28x128xf32> {
  %zero = arith.constant 0.0 : f32
  %f = linalg.fill ins(%zero : f32) outs(%out : tensor<28x128xf32>) -> tensor<28x128xf32>
  %c = linalg.generic {
    indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n floordiv 32, k, n mod 32)>, affine_map<(m, n, k) -> (m, n)>],
    iterator_types = ["parallel", "parallel", "reduction"]
  } ins(%a, %b : tensor<28x64xf32>, tensor<4x64x32xf32>) outs(%f : tensor<28x128xf32>) {
  ^bb0(%x: f32, %y: f32, %acc: f32):
    %p = arith.mulf %x, %y : f32
    %s = arith.addf %acc, %p : f32
    linalg.yield %s : f32
  } -> tensor<28x128xf32>
  return %c : tensor<28x128xf32>
}
