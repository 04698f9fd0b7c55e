// RUN: neo-opt --neo-schedule="target=znver4" %s | FileCheck %s
// RUN: neo-opt --neo-schedule="target=x86-64-v4" %s | FileCheck %s --check-prefix=EIGHT

// Rows from memory: on a target that says `next_row` four pass by, and the next four are asked for; eight elsewhere. A work
// item is a page of each row where there are several.
// EIGHT-LABEL: func.func @parts
// EIGHT-SAME:    rows = 8
// EIGHT-NOT:     memref.prefetch
// CHECK-LABEL: func.func @parts
// CHECK-SAME:    rows = 4
// CHECK:         scf.forall (%{{.*}}) in (8)
// CHECK:           scf.for %[[ROW:.*]] = %c0 to %c512 step %c4
// CHECK:             scf.for %[[C:.*]] = %c0 to %c1024 step %c32
// CHECK:               %[[NEXT:.*]] = arith.addi %[[ROW]], %c4
// CHECK-NEXT:          memref.prefetch %[[X:.*]][%{{.*}}, %[[NEXT]], %[[C]]], read
// CHECK:               vector.load %[[X]][%{{.*}}, %[[ROW]], %[[C]]]
// CHECK-COUNT-7:       memref.prefetch %[[X]]
// CHECK-NOT:           memref.prefetch
func.func @parts(%x: tensor<8x512x1024xf32>, %out: tensor<8x1024xf32>) -> tensor<8x1024xf32> {
  %zero = arith.constant 0.0 : f32
  %f = linalg.fill ins(%zero : f32) outs(%out : tensor<8x1024xf32>) -> tensor<8x1024xf32>
  %r = linalg.generic {
    indexing_maps = [affine_map<(p, i, k) -> (p, k, i)>, affine_map<(p, i, k) -> (p, i)>],
    iterator_types = ["parallel", "parallel", "reduction"]
  } ins(%x : tensor<8x512x1024xf32>) outs(%f : tensor<8x1024xf32>) {
  ^bb0(%a: f32, %acc: f32):
    %s = arith.addf %acc, %a : f32
    linalg.yield %s : f32
  } -> tensor<8x1024xf32>
  return %r : tensor<8x1024xf32>
}

// One matrix of few columns is cut into half pages, for two threads.
// CHECK-LABEL: func.func @alone
// CHECK:         scf.forall (%{{.*}}) in (2)
// CHECK:         memref.prefetch
func.func @alone(%x: tensor<4099x1024xf32>, %out: tensor<1024xf32>) -> tensor<1024xf32> {
  %zero = arith.constant 0.0 : f32
  %f = linalg.fill ins(%zero : f32) outs(%out : tensor<1024xf32>) -> tensor<1024xf32>
  %r = linalg.generic {
    indexing_maps = [affine_map<(i, k) -> (k, i)>, affine_map<(i, k) -> (i)>],
    iterator_types = ["parallel", "reduction"]
  } ins(%x : tensor<4099x1024xf32>) outs(%f : tensor<1024xf32>) {
  ^bb0(%a: f32, %acc: f32):
    %s = arith.addf %acc, %a : f32
    linalg.yield %s : f32
  } -> tensor<1024xf32>
  return %r : tensor<1024xf32>
}
