// RUN: neo-opt --neo-lower-tm-tensor %s | FileCheck %s

// One index an element of a matrix, along its rows, as importers write it: the number of an element gives its place, and
// a matrix of two columns has where it goes. It is a scatter along the rows, of each column by itself.
// CHECK-DAG: #[[FROM:.*]] = affine_map<(d0, d1, d2) -> (d2, d1)>
// CHECK-DAG: #[[INTO:.*]] = affine_map<(d0, d1, d2) -> (d0, d1)>
// CHECK-LABEL: func.func @elements
// CHECK-SAME:    (%[[X:[^:]*]]: tensor<9x4xf32>, %[[I:[^:]*]]: tensor<5x4xi64>, %[[U:[^:]*]]: tensor<5x4xf32>)
// CHECK: linalg.generic {indexing_maps = [#[[FROM]], #[[FROM]], #[[INTO]]], {{.*}} ins(%[[U]], %[[I]] : {{.*}}) outs(%[[X]]
// CHECK:   %[[ROW:.*]] = arith.index_cast %{{.*}} : index to i64
// CHECK:   arith.cmpi eq, %[[ROW]], %{{.*}}
// CHECK-NOT: arith.andi
// CHECK: return
func.func @elements(%x: tensor<9x4xf32>, %i: tensor<5x4xi64>, %u: tensor<5x4xf32>) -> tensor<9x4xf32> {
  %c4 = arith.constant 4 : index
  %c5 = arith.constant 5 : index
  %ei = tensor.empty() : tensor<20x1xi64>
  %eu = tensor.empty() : tensor<20xf32>
  %flat:3 = linalg.generic {indexing_maps = [affine_map<(n) -> (n, 0)>, affine_map<(n) -> (n, 0)>, affine_map<(n) -> (n)>],
      iterator_types = ["parallel"]} outs(%ei, %ei, %eu : tensor<20x1xi64>, tensor<20x1xi64>, tensor<20xf32>) {
  ^bb0(%a: i64, %b: i64, %c: f32):
    %n = linalg.index 0 : index
    %column = arith.remsi %n, %c4 : index
    %rest = arith.divsi %n, %c4 : index
    %row = arith.remsi %rest, %c5 : index
    %at = tensor.extract %i[%row, %column] : tensor<5x4xi64>
    %new = tensor.extract %u[%row, %column] : tensor<5x4xf32>
    %there = arith.index_cast %column : index to i64
    linalg.yield %at, %there, %new : i64, i64, f32
  } -> (tensor<20x1xi64>, tensor<20x1xi64>, tensor<20xf32>)
  %e = tensor.empty() : tensor<20x2xi64>
  %one = tensor.insert_slice %flat#0 into %e[0, 0] [20, 1] [1, 1] : tensor<20x1xi64> into tensor<20x2xi64>
  %both = tensor.insert_slice %flat#1 into %one[0, 1] [20, 1] [1, 1] : tensor<20x1xi64> into tensor<20x2xi64>
  %0 = tm_tensor.scatter {dimension_map = array<i64: 0, 1>} unique_indices(false)
      ins(%flat#2, %both : tensor<20xf32>, tensor<20x2xi64>) outs(%x : tensor<9x4xf32>) {
  ^bb0(%new: f32, %old: f32):
    %sum = arith.addf %old, %new : f32
    tm_tensor.yield %sum : f32
  } -> tensor<9x4xf32>
  return %0 : tensor<9x4xf32>
}
