// RUN: neo-opt --neo-schedule="target=x86-64-v3" %s | FileCheck %s

// Rows pass by four at a time from end to end, and the sums of columns wait in scratch memory.
// CHECK-LABEL: func.func @columns
// CHECK-SAME:    neo.parameters = {item = 50000 : i64, rows = 4 : i64, vectors = 2 : i64}, neo.schedule = "window"
// CHECK:         %[[SUMS:.*]] = memref.alloca() {{.*}} : memref<512xf32>
// CHECK:         scf.for %[[ROW:.*]] = %c0 to %c48 step %c4
// CHECK:           scf.for %[[C:.*]] = %c0 to %c512 step %c16
// CHECK:             vector.load %[[SUMS]][%[[C]]]
// CHECK:             vector.load %{{.*}}[%[[ROW]], %[[C]]] : memref<50x512xf32>
// CHECK-COUNT-8:     arith.addf
// CHECK:             vector.store %{{.*}}, %[[SUMS]][%[[C]]]
// CHECK:         vector.load %{{.*}}[%c49, %{{.*}}] : memref<50x512xf32>
func.func @columns(%x: tensor<50x512xf32>, %out: tensor<512xf32>) -> tensor<512xf32> {
  %zero = arith.constant 0.0 : f32
  %f = linalg.fill ins(%zero : f32) outs(%out : tensor<512xf32>) -> tensor<512xf32>
  %r = linalg.generic {
    indexing_maps = [affine_map<(i, k) -> (k, i)>, affine_map<(i, k) -> (i)>],
    iterator_types = ["parallel", "reduction"]
  } ins(%x : tensor<50x512xf32>) outs(%f : tensor<512xf32>) {
  ^bb0(%a: f32, %acc: f32):
    %s = arith.addf %acc, %a : f32
    linalg.yield %s : f32
  } -> tensor<512xf32>
  return %r : tensor<512xf32>
}
