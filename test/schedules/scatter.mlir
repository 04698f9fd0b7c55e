// RUN: neo-opt --neo-schedule=target=x86-64-v3 %s | FileCheck %s

// A sum over the updates whose index is a row's own: each update is added where it belongs, in vectors along the row.
// What lies outside of the result is left out.
// CHECK-LABEL: func.func @rows
// CHECK-SAME:    neo.schedule = "scatter"
// CHECK:         vector.store {{.*}} memref<100x16xf32>
// CHECK:         scf.for %[[N:.*]] = %c0 to %c50
// CHECK:           %[[AT:.*]] = memref.load %{{.*}}[%[[N]]] : memref<50xi64>
// CHECK:           %[[ROW:.*]] = arith.index_cast %[[AT]]
// CHECK:           %[[BEHIND:.*]] = arith.cmpi slt, %c-1, %[[ROW]]
// CHECK:           %[[BEFORE:.*]] = arith.cmpi slt, %[[ROW]], %c100
// CHECK:           %[[IN:.*]] = arith.andi %[[BEHIND]], %[[BEFORE]]
// CHECK:           scf.if %[[IN]]
// CHECK:             %[[OLD:.*]] = vector.load %[[OUT:.*]][%[[ROW]], %c0] : memref<100x16xf32>, vector<8xf32>
// CHECK:             %[[NEW:.*]] = vector.load %{{.*}}[%[[N]], %c0] : memref<50x16xf32>, vector<8xf32>
// CHECK:             %[[SUM:.*]] = arith.addf %[[OLD]], %[[NEW]]
// CHECK:             vector.store %[[SUM]], %[[OUT]][%[[ROW]], %c0]
// CHECK-NOT:     arith.cmpi eq
func.func @rows(%u: tensor<50x16xf32>, %i: tensor<50xi64>, %out: tensor<100x16xf32>) -> tensor<100x16xf32> {
  %zero = arith.constant 0.0 : f32
  %s = linalg.fill ins(%zero : f32) outs(%out : tensor<100x16xf32>) -> tensor<100x16xf32>
  %r = linalg.generic {
      indexing_maps = [affine_map<(r, c, n) -> (n, c)>, affine_map<(r, c, n) -> (n)>, affine_map<(r, c, n) -> (r, c)>],
      iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%u, %i : tensor<50x16xf32>, tensor<50xi64>) outs(%s : tensor<100x16xf32>) {
  ^bb0(%new: f32, %at: i64, %old: f32):
    %row = linalg.index 0 : index
    %here = arith.index_cast %row : index to i64
    %hit = arith.cmpi eq, %here, %at : i64
    %sum = arith.addf %old, %new : f32
    %y = arith.select %hit, %sum, %old : f32
    linalg.yield %y : f32
  } -> tensor<100x16xf32>
  return %r : tensor<100x16xf32>
}

// Many updates of a long row are two work items, each with the updates of its half of the rows.
// CHECK-LABEL: func.func @halves
// CHECK:         scf.forall (%[[I:.*]]) in (2)
// CHECK:           %[[LOW:.*]] = arith.muli %[[I]], %c50
// CHECK:           scf.for {{.*}} to %c5000
// CHECK:             %[[PREVIOUS:.*]] = arith.subi %[[LOW]], %c1
// CHECK:             arith.cmpi slt, %[[PREVIOUS]],
func.func @halves(%u: tensor<5000x16xf32>, %i: tensor<5000xi64>, %out: tensor<100x16xf32>) -> tensor<100x16xf32> {
  %zero = arith.constant 0.0 : f32
  %s = linalg.fill ins(%zero : f32) outs(%out : tensor<100x16xf32>) -> tensor<100x16xf32>
  %r = linalg.generic {
      indexing_maps = [affine_map<(r, c, n) -> (n, c)>, affine_map<(r, c, n) -> (n)>, affine_map<(r, c, n) -> (r, c)>],
      iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%u, %i : tensor<5000x16xf32>, tensor<5000xi64>) outs(%s : tensor<100x16xf32>) {
  ^bb0(%new: f32, %at: i64, %old: f32):
    %row = linalg.index 0 : index
    %here = arith.index_cast %row : index to i64
    %hit = arith.cmpi eq, %here, %at : i64
    %sum = arith.addf %old, %new : f32
    %y = arith.select %hit, %sum, %old : f32
    linalg.yield %y : f32
  } -> tensor<100x16xf32>
  return %r : tensor<100x16xf32>
}

// Of a row's number only eight bits are compared: more than one is an update's.
// CHECK-LABEL: func.func @narrow
// CHECK-SAME:    neo.schedule = "reduction"
func.func @narrow(%u: tensor<50xf32>, %i: tensor<50xi8>, %s: tensor<300xf32>, %out: tensor<300xf32>) -> tensor<300xf32> {
  %r = linalg.generic {
      indexing_maps = [affine_map<(r, n) -> (n)>, affine_map<(r, n) -> (n)>, affine_map<(r, n) -> (r)>],
      iterator_types = ["parallel", "reduction"]}
      ins(%u, %i : tensor<50xf32>, tensor<50xi8>) outs(%s : tensor<300xf32>) {
  ^bb0(%new: f32, %at: i8, %old: f32):
    %row = linalg.index 0 : index
    %here = arith.index_cast %row : index to i8
    %hit = arith.cmpi eq, %here, %at : i8
    %sum = arith.addf %old, %new : f32
    %y = arith.select %hit, %sum, %old : f32
    linalg.yield %y : f32
  } -> tensor<300xf32>
  return %r : tensor<300xf32>
}
