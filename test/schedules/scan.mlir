// RUN: neo-opt --neo-schedule=target=x86-64-v3 %s | FileCheck %s

// Down columns, vectors of neighbouring ones carry what they have so far.
// CHECK-LABEL: func.func @columns
// CHECK-SAME:    neo.schedule = "scan"
// CHECK:         scf.for %[[K:.*]] = %c0 to %c50 step %c1 iter_args(%[[OLD:[^ ]*]] = %cst
// CHECK:           %[[X:.*]] = vector.load %{{.*}}[%[[K]], %{{.*}}] : memref<50x32xf32>, vector<8xf32>
// CHECK:           %[[SUM:.*]] = arith.addf %[[OLD]], %[[X]]
// CHECK:           vector.store %[[SUM]], %{{.*}}[%[[K]],
// CHECK:           scf.yield %[[SUM]],
func.func @columns(%x: tensor<50x32xf32>, %out: tensor<50x32xf32>) -> tensor<50x32xf32> {
  %zero = arith.constant 0.0 : f32
  %s = linalg.fill ins(%zero : f32) outs(%out : tensor<50x32xf32>) -> tensor<50x32xf32>
  %r = linalg.generic {
      indexing_maps = [affine_map<(d0, d1, k) -> (k, d1)>, affine_map<(d0, d1, k) -> (d0, d1)>],
      iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%x : tensor<50x32xf32>) outs(%s : tensor<50x32xf32>) {
  ^bb0(%new: f32, %old: f32):
    %k = linalg.index 2 : index
    %here = linalg.index 0 : index
    %counts = arith.cmpi sle, %k, %here : index
    %sum = arith.addf %old, %new : f32
    %y = arith.select %counts, %sum, %old : f32
    linalg.yield %y : f32
  } -> tensor<50x32xf32>
  return %r : tensor<50x32xf32>
}

// Along a row, the lanes of a vector are combined in three steps, of which none waits for the vector before; then one
// sum is what is carried, and one the result.
// CHECK-LABEL: func.func @row
// CHECK:         scf.for %[[K:.*]] = %c0 to %c64 step %c32 iter_args(%[[OLD:[^ ]*]] =
// CHECK:           %[[X:.*]] = vector.load %{{.*}}[%[[K]]] : memref<64xf32>, vector<8xf32>
// CHECK:           %[[X1:.*]] = vector.shuffle %[[X]], %{{.*}} [8, 0, 1, 2, 3, 4, 5, 6]
// CHECK:           %[[S1:.*]] = arith.addf %[[X1]], %[[X]]
// CHECK:           %[[X2:.*]] = vector.shuffle %[[S1]], %{{.*}} [8, 9, 0, 1, 2, 3, 4, 5]
// CHECK:           %[[S2:.*]] = arith.addf %[[X2]], %[[S1]]
// CHECK:           %[[X4:.*]] = vector.shuffle %[[S2]], %{{.*}} [8, 9, 10, 11, 0, 1, 2, 3]
// CHECK:           %[[S4:.*]] = arith.addf %[[X4]], %[[S2]]
// CHECK:           %[[Y:.*]] = arith.addf %[[OLD]], %[[S4]]
// CHECK:           vector.store %[[Y]], %{{.*}}[%[[K]]]
// CHECK:           %[[LAST:.*]] = vector.shuffle %[[S4]], %[[S4]] [7, 7, 7, 7, 7, 7, 7, 7]
// CHECK:           arith.addf %[[OLD]], %[[LAST]]
func.func @row(%x: tensor<64xf32>, %out: tensor<64xf32>) -> tensor<64xf32> {
  %zero = arith.constant 0.0 : f32
  %s = linalg.fill ins(%zero : f32) outs(%out : tensor<64xf32>) -> tensor<64xf32>
  %r = linalg.generic {
      indexing_maps = [affine_map<(d0, k) -> (k)>, affine_map<(d0, k) -> (d0)>],
      iterator_types = ["parallel", "reduction"]}
      ins(%x : tensor<64xf32>) outs(%s : tensor<64xf32>) {
  ^bb0(%new: f32, %old: f32):
    %k = linalg.index 1 : index
    %here = linalg.index 0 : index
    %counts = arith.cmpi sle, %k, %here : index
    %sum = arith.addf %old, %new : f32
    %y = arith.select %counts, %sum, %old : f32
    linalg.yield %y : f32
  } -> tensor<64xf32>
  return %r : tensor<64xf32>
}

// What a scan starts from is the same all along it: else it is none, but a reduction like others.
// CHECK-LABEL: func.func @from
// CHECK-SAME:    neo.schedule = "reduction"
func.func @from(%x: tensor<64xf32>, %init: tensor<64xf32>, %out: tensor<64xf32>) -> tensor<64xf32> {
  %r = linalg.generic {
      indexing_maps = [affine_map<(d0, k) -> (k)>, affine_map<(d0, k) -> (d0)>],
      iterator_types = ["parallel", "reduction"]}
      ins(%x : tensor<64xf32>) outs(%init : tensor<64xf32>) {
  ^bb0(%new: f32, %old: f32):
    %k = linalg.index 1 : index
    %here = linalg.index 0 : index
    %counts = arith.cmpi sle, %k, %here : index
    %sum = arith.addf %old, %new : f32
    %y = arith.select %counts, %sum, %old : f32
    linalg.yield %y : f32
  } -> tensor<64xf32>
  return %r : tensor<64xf32>
}
