// RUN: neo-opt --neo-schedule=target=x86-64-v4 %s | FileCheck %s
// RUN: sed "s/{neo.parameters = {}}/{neo.parameters = {across = 0 : i64}}/" %s | neo-opt --neo-schedule=target=x86-64-v4 | FileCheck %s --check-prefix=PANELS
// RUN: neo-opt --neo-schedule=target=znver2 %s | FileCheck %s --check-prefix=RESULTS

// Tensors larger than the cache: all panels pass by the rows of a tile before the next ones, so that results are written
// from end to end and no tile asks for their lines; a step of the reduction asks for a line of the rows that come next.
// CHECK-LABEL: func.func @matmul
// CHECK:         %[[ROWS:.*]] = memref.collapse_shape %{{.*}} : memref<8192x64xf32> into memref<524288xf32>
// CHECK:       scf.forall (%{{.*}}) in (33)
// CHECK-NOT:     memref.prefetch
// CHECK:         scf.for %{{.*}} = %{{.*}} to %{{.*}} step %c1 {
// CHECK-NEXT:      scf.for %{{.*}} = %c0 to %c4 step %c1 {
// CHECK-NOT:     memref.prefetch
// CHECK:           scf.for %[[K:.*]] = %{{.*}} iter_args
// CHECK:             %[[ROW:.*]] = arith.andi %[[K]], %c15
// CHECK:             %[[AT:.*]] = arith.minsi
// CHECK:             memref.prefetch %[[ROWS]][%[[AT]]], read, locality<2>, data
// CHECK:             math.fma

// Panel by panel, the lines of a tile's results lie apart, and it asks for them at its start.
// PANELS-LABEL: func.func @matmul
// PANELS:       scf.forall
// PANELS:         memref.prefetch %{{.*}}[%{{.*}}, %{{.*}}], write, locality<3>, data : memref<8192x128xf32>
// PANELS:         scf.for %{{.*}} iter_args
// PANELS:           memref.prefetch %{{.*}}[%{{.*}}], read, locality<2>, data
// PANELS:           math.fma

// Where the hardware does not fetch far enough ahead, each panel asks for a fourth of what the next tile's rows write, from
// end to end, and never behind the last of them.
// RESULTS-LABEL: func.func @matmul
// RESULTS-SAME:    rows = 2
// RESULTS-DAG:   %[[LAST:.*]] = arith.constant 1048512 : index
// RESULTS-DAG:   %[[SHARE:.*]] = arith.constant 64 : index
// RESULTS:       scf.for %[[TILE:.*]] = %{{.*}} to %{{.*}} step %c1 {
// RESULTS-NEXT:    scf.for %[[PANEL:.*]] = %c0 to %c4 step %c1 {
// RESULTS:           %[[PART:.*]] = arith.muli %[[PANEL]], %[[SHARE]]
// RESULTS:           %[[START:.*]] = arith.minsi %{{.*}}, %[[LAST]] : index
// RESULTS:           scf.for %[[K:.*]] = %{{.*}} iter_args
// RESULTS:             %[[AT:.*]] = arith.addi %[[START]], %[[K]]
// RESULTS-NEXT:        memref.prefetch %{{.*}}[%[[AT]]], write, locality<3>, data : memref<1048576xf32>
// RESULTS:             math.fma
// RESULTS-NOT:       memref.prefetch
// RESULTS:           vector.store
func.func @matmul(%a: tensor<8192x64xf32>, %b: tensor<4x64x32xf32>, %out: tensor<8192x128xf32>) -> tensor<8192x128xf32>
    attributes {neo.parameters = {}} {
  %zero = arith.constant 0.0 : f32
  %f = linalg.fill ins(%zero : f32) outs(%out : tensor<8192x128xf32>) -> tensor<8192x128xf32>
  %c = linalg.generic {
    indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n floordiv 32, k, n mod 32)>, affine_map<(m, n, k) -> (m, n)>],
    iterator_types = ["parallel", "parallel", "reduction"]
  } ins(%a, %b : tensor<8192x64xf32>, tensor<4x64x32xf32>) outs(%f : tensor<8192x128xf32>) {
  ^bb0(%x: f32, %y: f32, %acc: f32):
    %p = arith.mulf %x, %y : f32
    %s = arith.addf %acc, %p : f32
    linalg.yield %s : f32
  } -> tensor<8192x128xf32>
  return %c : tensor<8192x128xf32>
}
