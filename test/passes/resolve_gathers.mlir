// RUN: neo-opt --neo-resolve-gathers --canonicalize --cse %s | FileCheck %s

#id = affine_map<(d0) -> (d0)>
#all = affine_map<(d0, d1) -> (d0, d1)>
#turned = affine_map<(d0, d1) -> (d1, d0)>
#row = affine_map<(d0, d1) -> (d0)>

// The nearest points of a picture of twice the size, read from the source of a transposed copy.
// CHECK-DAG:   #[[HALF:.*]] = affine_map<(d0, d1) -> (d1, d0 floordiv 2)>
// CHECK-DAG:   #[[STEP:.*]] = affine_map<(d0) -> (d0 * 3 + 1)>
// CHECK-LABEL: func.func @nearest(
// CHECK-SAME:    %[[X:.*]]: tensor<8x5xf32>)
// CHECK:         linalg.generic {indexing_maps = [#[[HALF]], #{{.*}}]{{.*}} ins(%[[X]] : tensor<8x5xf32>)
// CHECK-NEXT:    ^bb0(%[[IN:.*]]: f32, %{{.*}}: f32):
// CHECK-NEXT:      linalg.yield %[[IN]]
func.func @nearest(%x: tensor<8x5xf32>) -> tensor<10x8xf32> {
  %half = arith.constant 0.5 : f32
  %e = tensor.empty() : tensor<5x8xf32>
  %t = linalg.generic {indexing_maps = [#turned, #all], iterator_types = ["parallel", "parallel"]}
      ins(%x : tensor<8x5xf32>) outs(%e : tensor<5x8xf32>) {
  ^bb0(%a: f32, %o: f32):
    linalg.yield %a : f32
  } -> tensor<5x8xf32>
  %f = tensor.empty() : tensor<10x8xf32>
  %r = linalg.generic {indexing_maps = [#all], iterator_types = ["parallel", "parallel"]} outs(%f : tensor<10x8xf32>) {
  ^bb0(%o: f32):
    %i = linalg.index 0 : index
    %j = linalg.index 1 : index
    %n = arith.index_cast %i : index to i64
    %y = arith.sitofp %n : i64 to f32
    %h = arith.mulf %y, %half : f32
    %floor = math.floor %h : f32
    %m = arith.fptosi %floor : f32 to i64
    %at = arith.index_cast %m : i64 to index
    %found = tensor.extract %t[%at, %j] : tensor<5x8xf32>
    linalg.yield %found : f32
  } -> tensor<10x8xf32>
  return %r : tensor<10x8xf32>
}

// Every third element, by a table of places.
// CHECK-LABEL: func.func @table(
// CHECK:         linalg.generic {indexing_maps = [#{{.*}}, #[[STEP]], #{{.*}}]
// CHECK-NOT:     tensor.extract
// CHECK:         return
func.func @table(%x: tensor<12xf32>) -> tensor<4xf32> {
  %places = arith.constant dense<[1, 4, 7, 10]> : tensor<4xi64>
  %e = tensor.empty() : tensor<4xf32>
  %r = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel"]}
      ins(%places : tensor<4xi64>) outs(%e : tensor<4xf32>) {
  ^bb0(%p: i64, %o: f32):
    %at = arith.index_cast %p : i64 to index
    %found = tensor.extract %x[%at] : tensor<12xf32>
    linalg.yield %found : f32
  } -> tensor<4xf32>
  return %r : tensor<4xf32>
}

// Rows that stop at the border stay places that are looked up; columns become those of the loop.
// CHECK-LABEL: func.func @border(
// CHECK:         %[[AT:.*]] = arith.index_cast
// CHECK:         %[[J:.*]] = linalg.index 1
// CHECK:         tensor.extract %{{.*}}[%[[AT]], %[[J]]]
func.func @border(%x: tensor<3x8xf32>) -> tensor<4x8xf32> {
  %rows = arith.constant dense<[0, 1, 2, 2]> : tensor<4xi64>
  %columns = arith.constant dense<[0, 1, 2, 3, 4, 5, 6, 7]> : tensor<8xi64>
  %e = tensor.empty() : tensor<4x8xf32>
  %r = linalg.generic {
    indexing_maps = [#row, affine_map<(d0, d1) -> (d1)>, #all], iterator_types = ["parallel", "parallel"]
  } ins(%rows, %columns : tensor<4xi64>, tensor<8xi64>) outs(%e : tensor<4x8xf32>) {
  ^bb0(%p: i64, %q: i64, %o: f32):
    %i = arith.index_cast %p : i64 to index
    %j = arith.index_cast %q : i64 to index
    %found = tensor.extract %x[%i, %j] : tensor<3x8xf32>
    linalg.yield %found : f32
  } -> tensor<4x8xf32>
  return %r : tensor<4x8xf32>
}

// A place that follows from data, or lies outside, is left alone.
// CHECK-LABEL: func.func @data(
// CHECK:         tensor.extract
// CHECK-LABEL: func.func @outside(
// CHECK:         tensor.extract
func.func @data(%x: tensor<12xf32>, %places: tensor<4xi64>) -> tensor<4xf32> {
  %e = tensor.empty() : tensor<4xf32>
  %r = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel"]}
      ins(%places : tensor<4xi64>) outs(%e : tensor<4xf32>) {
  ^bb0(%p: i64, %o: f32):
    %at = arith.index_cast %p : i64 to index
    %found = tensor.extract %x[%at] : tensor<12xf32>
    linalg.yield %found : f32
  } -> tensor<4xf32>
  return %r : tensor<4xf32>
}

func.func @outside(%x: tensor<3xf32>) -> tensor<4xf32> {
  %e = tensor.empty() : tensor<4xf32>
  %r = linalg.generic {indexing_maps = [#id], iterator_types = ["parallel"]} outs(%e : tensor<4xf32>) {
  ^bb0(%o: f32):
    %i = linalg.index 0 : index
    %found = tensor.extract %x[%i] : tensor<3xf32>
    linalg.yield %found : f32
  } -> tensor<4xf32>
  return %r : tensor<4xf32>
}

// One bit that is made longer with its sign is -1: every place is its own point.
// CHECK-LABEL: func.func @one_bit(
// CHECK-SAME:    %[[X:.*]]: tensor<6xf32>)
// CHECK-NOT:     tensor.extract
// CHECK:         return %[[X]]
func.func @one_bit(%x: tensor<6xf32>) -> tensor<6xf32> {
  %zero = arith.constant 0 : index
  %one = arith.constant 1 : i64
  %f = tensor.empty() : tensor<6xf32>
  %r = linalg.generic {indexing_maps = [#id], iterator_types = ["parallel"]} outs(%f : tensor<6xf32>) {
  ^bb0(%o: f32):
    %i = linalg.index 0 : index
    %n = arith.index_cast %i : index to i64
    %c = arith.cmpi sge, %i, %zero : index
    %s = arith.extsi %c : i1 to i64
    %next = arith.addi %n, %one : i64
    %m = arith.addi %next, %s : i64
    %at = arith.index_cast %m : i64 to index
    %found = tensor.extract %x[%at] : tensor<6xf32>
    linalg.yield %found : f32
  } -> tensor<6xf32>
  return %r : tensor<6xf32>
}
