// RUN: neo-opt --neo-lower-tm-tensor %s | FileCheck %s

// A scan is a reduction over the elements up to the result's own.
// CHECK-DAG: #[[READ:.*]] = affine_map<(d0, d1, d2) -> (d0, d2)>
// CHECK-DAG: #[[WRITE:.*]] = affine_map<(d0, d1, d2) -> (d0, d1)>
// CHECK-LABEL: func.func @scan
// CHECK-SAME:    (%[[X:[^:]*]]: tensor<2x8xi64>, %[[OUT:[^:]*]]: tensor<2x8xi64>, %[[INIT:[^:]*]]: tensor<2xi64>)
func.func @scan(%x: tensor<2x8xi64>, %out: tensor<2x8xi64>, %init: tensor<2xi64>) -> tensor<2x8xi64> {
  // CHECK: %[[START:.*]] = linalg.generic {{.*}} ins(%[[INIT]] : tensor<2xi64>) outs(%[[OUT]]
  // CHECK: %[[SUM:.*]] = linalg.generic {indexing_maps = [#[[READ]], #[[WRITE]]], iterator_types = ["parallel", "parallel", "reduction"]} ins(%[[X]] : tensor<2x8xi64>) outs(%[[START]]
  // CHECK: ^bb0(%[[NEW:.*]]: i64, %[[OLD:.*]]: i64):
  // CHECK: %[[HERE:.*]] = linalg.index 2
  // CHECK: %[[THERE:.*]] = linalg.index 1
  // CHECK: %[[COUNTS:.*]] = arith.cmpi sle, %[[HERE]], %[[THERE]]
  // CHECK: %[[TOTAL:.*]] = arith.addi %[[OLD]], %[[NEW]]
  // CHECK: arith.select %[[COUNTS]], %[[TOTAL]], %[[OLD]]
  // CHECK: return %[[SUM]]
  %0:2 = tm_tensor.scan dimension(1) inclusive(true) ins(%x : tensor<2x8xi64>)
      outs(%out, %init : tensor<2x8xi64>, tensor<2xi64>) {
  ^bb0(%a: i64, %b: i64):
    %sum = arith.addi %a, %b : i64
    tm_tensor.yield %sum : i64
  } -> tensor<2x8xi64>, tensor<2xi64>
  return %0#0 : tensor<2x8xi64>
}

// A scatter looks at every update, and takes those whose indices are the element's own.
// CHECK-LABEL: func.func @scatter
// CHECK-SAME:    (%[[U:[^:]*]]: tensor<3xf32>, %[[I:[^:]*]]: tensor<3x2xi64>, %[[X:[^:]*]]: tensor<4x5xf32>)
func.func @scatter(%updates: tensor<3xf32>, %indices: tensor<3x2xi64>, %x: tensor<4x5xf32>) -> tensor<4x5xf32> {
  // CHECK: linalg.generic {{.*}} iterator_types = ["parallel", "parallel", "reduction"]} ins(%[[U]], %[[I]], %[[I]] : {{.*}}) outs(%[[X]]
  // CHECK: ^bb0(%[[NEW:.*]]: f32, %[[ROW:.*]]: i64, %[[COLUMN:.*]]: i64, %[[OLD:.*]]: f32):
  // CHECK: arith.cmpi eq, %{{.*}}, %[[ROW]]
  // CHECK: arith.cmpi eq, %{{.*}}, %[[COLUMN]]
  // CHECK: %[[HIT:.*]] = arith.andi
  // CHECK: arith.select %[[HIT]], %[[NEW]], %[[OLD]]
  %0 = tm_tensor.scatter {dimension_map = array<i64: 0, 1>} unique_indices(false)
      ins(%updates, %indices : tensor<3xf32>, tensor<3x2xi64>) outs(%x : tensor<4x5xf32>) {
  ^bb0(%new: f32, %old: f32):
    tm_tensor.yield %new : f32
  } -> tensor<4x5xf32>
  return %0 : tensor<4x5xf32>
}

// A sort of values and of their numbers: floats become integers in the order wanted, NaN the greatest, both zeros the
// same; each is counted how many come before it; its number is scattered there; and the values are read by number.
// CHECK-LABEL: func.func @sort
// CHECK-SAME:    (%[[X:[^:]*]]: tensor<2x200xf32>)
// CHECK: %[[KEYS:.*]] = linalg.generic {{.*}} ins(%[[X]] : tensor<2x200xf32>) outs({{.*}} : tensor<2x200xi32>)
// CHECK:   %[[NAN:.*]] = arith.cmpf uno
// CHECK:   arith.addf {{.*}}, %cst
// CHECK:   arith.bitcast
// CHECK:   %[[KEY:.*]] = arith.select %[[NAN]], %c2147483647_i32
// CHECK:   arith.xori %[[KEY]], %c-1_i32
// CHECK: %[[RANKS:.*]] = linalg.generic {{.*}} ["parallel", "parallel", "reduction"]} ins(%[[KEYS]], %[[KEYS]]
// CHECK:   arith.minsi {{.*}}, %c3_i32
// CHECK: %[[INDICES:.*]] = linalg.generic {{.*}} ["parallel", "parallel", "reduction"]} ins(%[[RANKS]] : tensor<2x200xi32>) outs({{.*}} : tensor<2x3xi64>)
// CHECK:   arith.cmpi eq
// CHECK: %[[VALUES:.*]] = linalg.generic {{.*}} ins(%[[INDICES]] : tensor<2x3xi64>)
// CHECK:   tensor.extract %[[X]]
// CHECK: return %[[VALUES]], %[[INDICES]]
func.func @sort(%x: tensor<2x200xf32>) -> (tensor<2x3xf32>, tensor<2x3xi64>) {
  %e = tensor.empty() : tensor<2x200xi64>
  %n = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>], iterator_types = ["parallel", "parallel"]}
      outs(%e : tensor<2x200xi64>) {
  ^bb0(%o: i64):
    %j = linalg.index 1 : index
    %c = arith.index_cast %j : index to i64
    linalg.yield %c : i64
  } -> tensor<2x200xi64>
  %0:2 = tm_tensor.sort dimension(1) outs(%x, %n : tensor<2x200xf32>, tensor<2x200xi64>) {
  ^bb0(%a: f32, %b: f32, %m: i64, %k: i64):
    %first = arith.cmpf oge, %a, %b : f32
    tm_tensor.yield %first : i1
  } -> tensor<2x200xf32>, tensor<2x200xi64>
  %v = tensor.extract_slice %0#0[0, 0] [2, 3] [1, 1] : tensor<2x200xf32> to tensor<2x3xf32>
  %i = tensor.extract_slice %0#1[0, 0] [2, 3] [1, 1] : tensor<2x200xi64> to tensor<2x3xi64>
  return %v, %i : tensor<2x3xf32>, tensor<2x3xi64>
}
