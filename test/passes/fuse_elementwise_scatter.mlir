// RUN: neo-opt --neo-fuse-elementwise %s | FileCheck %s

// Updates that are computed, of rows at other places, are computed where they are scattered: each of them is taken once,
// although the loops pass by all of them for each row of the result.
// CHECK-LABEL: func.func @messages
// CHECK-SAME:    (%[[X:[^:]*]]: tensor<10x8xf32>, %[[FROM:[^:]*]]: tensor<50xi64>, %[[TO:[^:]*]]: tensor<50xi64>
// CHECK-NOT:     tensor<50x8xf32>
// CHECK:         linalg.generic {{.*}} ["parallel", "parallel", "reduction"]} ins(%[[FROM]], %[[TO]] :
// CHECK:           %[[SENT:.*]] = tensor.extract %[[X]]
// CHECK:           %[[SQUARE:.*]] = arith.mulf %[[SENT]], %[[SENT]]
// CHECK:           %[[SUM:.*]] = arith.addf %{{.*}}, %[[SQUARE]]
// CHECK:           arith.select %{{.*}}, %[[SUM]],
func.func @messages(%x: tensor<10x8xf32>, %from: tensor<50xi64>, %to: tensor<50xi64>, %out: tensor<10x8xf32>) -> tensor<10x8xf32> {
  %e = tensor.empty() : tensor<50x8xf32>
  %sent = linalg.generic {indexing_maps = [affine_map<(n, c) -> (n)>, affine_map<(n, c) -> (n, c)>],
      iterator_types = ["parallel", "parallel"]} ins(%from : tensor<50xi64>) outs(%e : tensor<50x8xf32>) {
  ^bb0(%at: i64, %o: f32):
    %row = arith.index_cast %at : i64 to index
    %column = linalg.index 1 : index
    %v = tensor.extract %x[%row, %column] : tensor<10x8xf32>
    %square = arith.mulf %v, %v : f32
    linalg.yield %square : f32
  } -> tensor<50x8xf32>
  %r = linalg.generic {
      indexing_maps = [affine_map<(r, c, n) -> (n, c)>, affine_map<(r, c, n) -> (n)>, affine_map<(r, c, n) -> (r, c)>],
      iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%sent, %to : tensor<50x8xf32>, tensor<50xi64>) outs(%out : tensor<10x8xf32>) {
  ^bb0(%new: f32, %at: i64, %old: f32):
    %row = linalg.index 0 : index
    %here = arith.index_cast %row : index to i64
    %hit = arith.cmpi eq, %here, %at : i64
    %sum = arith.addf %old, %new : f32
    %y = arith.select %hit, %sum, %old : f32
    linalg.yield %y : f32
  } -> tensor<10x8xf32>
  return %r : tensor<10x8xf32>
}
