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

// A long sum is one over blocks of 8, one over the sums of the blocks before, and both together. 60 elements are filled
// up with zeros, which no element of the result counts.
// CHECK-LABEL: func.func @blocks
// CHECK-SAME:    (%[[X:[^:]*]]: tensor<60x3xf32>
func.func @blocks(%x: tensor<60x3xf32>, %out: tensor<60x3xf32>) -> tensor<60x3xf32> {
  // CHECK: %[[PAD:.*]] = tensor.pad %[[X]] low[0, 0] high[4, 0]
  // CHECK: %[[WIDE:.*]] = tensor.expand_shape %[[PAD]] {{.*}} into tensor<8x8x3xf32>
  // CHECK: %[[INNER:.*]] = linalg.generic {{.*}} ins(%[[WIDE]] :
  // CHECK: arith.cmpi sle
  // CHECK: %[[LAST:.*]] = tensor.extract_slice %[[INNER]][0, 7, 0] [8, 1, 3]
  // CHECK: %[[WHOLE:.*]] = tensor.collapse_shape %[[LAST]] {{.*}} into tensor<8x3xf32>
  // CHECK: %[[BEFORE:.*]] = linalg.generic {{.*}} ins(%[[WHOLE]] :
  // CHECK: arith.cmpi slt
  // CHECK: linalg.generic {{.*}} ins(%[[BEFORE]], %[[INNER]] : tensor<8x3xf32>, tensor<8x8x3xf32>)
  // CHECK: arith.addf
  // CHECK: tensor.extract_slice {{.*}} [60, 3] [1, 1] : tensor<64x3xf32> to tensor<60x3xf32>
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<3xf32>
  %init = linalg.fill ins(%zero : f32) outs(%e : tensor<3xf32>) -> tensor<3xf32>
  %0:2 = tm_tensor.scan dimension(0) inclusive(true) ins(%x : tensor<60x3xf32>)
      outs(%out, %init : tensor<60x3xf32>, tensor<3xf32>) {
  ^bb0(%a: f32, %b: f32):
    %sum = arith.addf %a, %b : f32
    tm_tensor.yield %sum : f32
  } -> tensor<60x3xf32>, tensor<3xf32>
  return %0#0 : tensor<60x3xf32>
}
