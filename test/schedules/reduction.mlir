// RUN: neo-opt --neo-schedule=target=x86-64-v4 %s | FileCheck %s

// Each row is summed in four vectors at once, and its quotients are computed while it is in the cache.
// CHECK-LABEL: func.func @normalize
// CHECK-SAME:    neo.schedule = "reduction"
// CHECK:       scf.for %[[ROW:.*]] =
// CHECK:         %[[S:.*]]:4 = scf.for
// CHECK:           vector.load %{{.*}}[%[[ROW]], %{{.*}}] : memref<10x128xf32>, vector<16xf32>
// CHECK:         vector.reduction <add>
// CHECK:         scf.for
// CHECK:           arith.divf {{.*}} : vector<16xf32>
// CHECK:           vector.store
func.func @normalize(%x: tensor<10x128xf32>, %out: tensor<10x128xf32>) -> tensor<10x128xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<10xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<10xf32>) -> tensor<10xf32>
  %sum = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>], iterator_types = ["parallel", "reduction"]}
      ins(%x : tensor<10x128xf32>) outs(%f : tensor<10xf32>) {
  ^bb0(%a: f32, %acc: f32):
    %s = arith.addf %acc, %a : f32
    linalg.yield %s : f32
  } -> tensor<10xf32>
  %r = linalg.generic {
    indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>, affine_map<(i, j) -> (i, j)>],
    iterator_types = ["parallel", "parallel"]
  } ins(%x, %sum : tensor<10x128xf32>, tensor<10xf32>) outs(%out : tensor<10x128xf32>) {
  ^bb0(%a: f32, %s: f32, %o: f32):
    %y = arith.divf %a, %s : f32
    linalg.yield %y : f32
  } -> tensor<10x128xf32>
  return %r : tensor<10x128xf32>
}

// What an elementary function computes for the vectors of a step is written side by side, as one long vector.
// CHECK-LABEL: func.func @exponentials
// CHECK:         %[[S:.*]] = scf.for {{.*}} -> (vector<64xf32>)
// CHECK:           math.exp {{.*}} : vector<64xf32>
// CHECK:         vector.shuffle %[[S]], %[[S]]
// CHECK:         vector.reduction <add>
func.func @exponentials(%x: tensor<10x128xf32>, %out: tensor<10xf32>) -> tensor<10xf32> {
  %zero = arith.constant 0.0 : f32
  %f = linalg.fill ins(%zero : f32) outs(%out : tensor<10xf32>) -> tensor<10xf32>
  %sum = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>], iterator_types = ["parallel", "reduction"]}
      ins(%x : tensor<10x128xf32>) outs(%f : tensor<10xf32>) {
  ^bb0(%a: f32, %acc: f32):
    %e = math.exp %a : f32
    %s = arith.addf %acc, %e : f32
    linalg.yield %s : f32
  } -> tensor<10xf32>
  return %sum : tensor<10xf32>
}
