// RUN: neo-opt --neo-schedule=target=znver4 %s | FileCheck %s
// RUN: neo-opt --neo-schedule=target=znver2 %s | FileCheck %s --check-prefix=ALONE

// Steps of a short row wait for one number of the step before: two rows take them in turn, and a last one by itself. A row
// of weights has a place of its own, which is written as it is read, a register at a time.
// CHECK-LABEL: func.func @softmax
// CHECK-SAME:    rows = 2
// CHECK-DAG:     %[[FIRST:.*]] = memref.alloca() {{.*}} : memref<128xf32>
// CHECK-DAG:     %[[SECOND:.*]] = memref.alloca() {{.*}} : memref<128xf32>
// CHECK:         scf.for %[[ROW:.*]] = %c0 to %c64 step %c2
// CHECK:           vector.load %[[X:.*]][%[[ROW]], %{{.*}}]
// CHECK:           vector.reduction <maxnumf>
// CHECK:           %[[NEXT:.*]] = arith.addi %[[ROW]], %c1
// CHECK:           vector.load %[[X]][%[[NEXT]], %{{.*}}]
// CHECK:           vector.reduction <maxnumf>
// CHECK:           math.exp %{{.*}} : vector<64xf32>
// CHECK-COUNT-4:   vector.store %{{.*}}, %[[FIRST]][%{{.*}}] : memref<128xf32>, vector<16xf32>
// CHECK:           vector.reduction <add>
// CHECK:           math.exp %{{.*}} : vector<64xf32>
// CHECK:           vector.reduction <add>
// CHECK:           vector.load %[[FIRST]]
// CHECK:           vector.store %{{.*}}, %[[OUT:.*]][%[[ROW]], %{{.*}}]
// CHECK:           vector.load %[[SECOND]]
// CHECK:         math.exp
// CHECK:         vector.store %{{.*}}, %[[OUT]][%c64, %{{.*}}]
// A row of sixteen registers is all that there are of them.
// ALONE-LABEL: func.func @softmax
// ALONE-NOT:     rows =
// ALONE:         scf.for %{{.*}} = %c0 to %c65 step %c1
func.func @softmax(%x: tensor<65x128xf32>, %out: tensor<65x128xf32>) -> tensor<65x128xf32> {
  %low = arith.constant 0xFF800000 : f32
  %zero = arith.constant 0.0 : f32
  %one = arith.constant 1.0 : f32
  %e = tensor.empty() : tensor<65xf32>
  %f = linalg.fill ins(%low : f32) outs(%e : tensor<65xf32>) -> tensor<65xf32>
  %max = linalg.generic {indexing_maps = [affine_map<(m, n) -> (m, n)>, affine_map<(m, n) -> (m)>], iterator_types = ["parallel", "reduction"]} ins(%x : tensor<65x128xf32>) outs(%f : tensor<65xf32>) {
  ^bb0(%a: f32, %acc: f32):
    %0 = arith.maxnumf %a, %acc : f32
    linalg.yield %0 : f32
  } -> tensor<65xf32>
  %w = tensor.empty() : tensor<65x128xf32>
  %exp = linalg.generic {indexing_maps = [affine_map<(m, n) -> (m, n)>, affine_map<(m, n) -> (m)>, affine_map<(m, n) -> (m, n)>], iterator_types = ["parallel", "parallel"]} ins(%x, %max : tensor<65x128xf32>, tensor<65xf32>) outs(%w : tensor<65x128xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %0 = arith.subf %a, %b : f32
    %1 = math.exp %0 fastmath<afn> : f32
    linalg.yield %1 : f32
  } -> tensor<65x128xf32>
  %g = linalg.fill ins(%zero : f32) outs(%e : tensor<65xf32>) -> tensor<65xf32>
  %sum = linalg.generic {indexing_maps = [affine_map<(m, n) -> (m, n)>, affine_map<(m, n) -> (m)>], iterator_types = ["parallel", "reduction"]} ins(%exp : tensor<65x128xf32>) outs(%g : tensor<65xf32>) {
  ^bb0(%a: f32, %acc: f32):
    %0 = arith.addf %a, %acc : f32
    linalg.yield %0 : f32
  } -> tensor<65xf32>
  %r = linalg.generic {indexing_maps = [affine_map<(m, n) -> (m, n)>, affine_map<(m, n) -> (m)>, affine_map<(m, n) -> (m, n)>], iterator_types = ["parallel", "parallel"]} ins(%exp, %sum : tensor<65x128xf32>, tensor<65xf32>) outs(%out : tensor<65x128xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %i = arith.divf %one, %b : f32
    %0 = arith.mulf %a, %i : f32
    linalg.yield %0 : f32
  } -> tensor<65x128xf32>
  return %r : tensor<65x128xf32>
}
