// RUN: neo-opt --neo-schedule=target=x86-64-v4 %s | FileCheck %s

// A product with packed columns becomes a tile of accumulators that the reduction carries, 7 rows of 2 vectors;
// the bias is added to them before the only store.
// CHECK-LABEL: func.func @matmul
// CHECK-SAME:    neo.schedule = "contraction"
// CHECK:       scf.forall (%[[PANEL:.*]]) in (2)
// CHECK:         %[[SUM:.*]]:14 = scf.for %[[K:.*]] = %c0{{.*}} iter_args
// CHECK:           memref.load %{{.*}}[%{{.*}}, %[[K]]] : memref<7x128xf32>
// CHECK:           vector.load %{{.*}}[%{{.*}}, %[[K]], %{{.*}}] : memref<2x128x32xf32>, vector<16xf32>
// CHECK:           math.fma
// CHECK:           scf.yield
// CHECK:         vector.load %{{.*}} : memref<64xf32>, vector<16xf32>
// CHECK-NEXT:    arith.addf %[[SUM]]#0
// CHECK-NEXT:    vector.store
// CHECK:       bufferization.to_tensor %{{.*}} restrict writable
func.func @matmul(%a: tensor<7x128xf32>, %b: tensor<2x128x32xf32>, %bias: tensor<64xf32>, %out: tensor<7x64xf32>) -> tensor<7x64xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<7x64xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<7x64xf32>) -> tensor<7x64xf32>
  %c = linalg.generic {
    indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n floordiv 32, k, n mod 32)>, affine_map<(m, n, k) -> (m, n)>],
    iterator_types = ["parallel", "parallel", "reduction"]
  } ins(%a, %b : tensor<7x128xf32>, tensor<2x128x32xf32>) outs(%f : tensor<7x64xf32>) {
  ^bb0(%x: f32, %y: f32, %acc: f32):
    %p = arith.mulf %x, %y : f32
    %s = arith.addf %acc, %p : f32
    linalg.yield %s : f32
  } -> tensor<7x64xf32>
  %r = linalg.generic {
    indexing_maps = [affine_map<(m, n) -> (m, n)>, affine_map<(m, n) -> (n)>, affine_map<(m, n) -> (m, n)>],
    iterator_types = ["parallel", "parallel"]
  } ins(%c, %bias : tensor<7x64xf32>, tensor<64xf32>) outs(%out : tensor<7x64xf32>) {
  ^bb0(%x: f32, %y: f32, %o: f32):
    %s = arith.addf %x, %y : f32
    linalg.yield %s : f32
  } -> tensor<7x64xf32>
  return %r : tensor<7x64xf32>
}

// Few rows take several panels at once, as several streams of weights: 4 rows of 6 vectors.
// CHECK-LABEL: func.func @few_rows
// CHECK:         %[[SUM:.*]]:24 = scf.for
func.func @few_rows(%a: tensor<4x128xf32>, %b: tensor<6x128x32xf32>, %out: tensor<4x192xf32>) -> tensor<4x192xf32> {
  %zero = arith.constant 0.0 : f32
  %f = linalg.fill ins(%zero : f32) outs(%out : tensor<4x192xf32>) -> tensor<4x192xf32>
  %c = linalg.generic {
    indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n floordiv 32, k, n mod 32)>, affine_map<(m, n, k) -> (m, n)>],
    iterator_types = ["parallel", "parallel", "reduction"]
  } ins(%a, %b : tensor<4x128xf32>, tensor<6x128x32xf32>) outs(%f : tensor<4x192xf32>) {
  ^bb0(%x: f32, %y: f32, %acc: f32):
    %p = arith.mulf %x, %y : f32
    %s = arith.addf %acc, %p : f32
    linalg.yield %s : f32
  } -> tensor<4x192xf32>
  return %c : tensor<4x192xf32>
}

// A long epilogue is computed row by row out of scratch memory, for the vectors of a row at once.
// CHECK-LABEL: func.func @long_epilogue
// CHECK:         vector.store {{.*}} : memref<{{.*}}x32xf32>, vector<16xf32>
// CHECK:         scf.for
// CHECK:           vector.load {{.*}} : memref<{{.*}}x32xf32>, vector<32xf32>
// CHECK:           math.tanh {{.*}} : vector<32xf32>
// CHECK:           vector.store {{.*}} : memref<28x64xf32>, vector<32xf32>
func.func @long_epilogue(%a: tensor<28x128xf32>, %b: tensor<2x128x32xf32>, %out: tensor<28x64xf32>) -> tensor<28x64xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<28x64xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<28x64xf32>) -> tensor<28x64xf32>
  %c = linalg.generic {
    indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n floordiv 32, k, n mod 32)>, affine_map<(m, n, k) -> (m, n)>],
    iterator_types = ["parallel", "parallel", "reduction"]
  } ins(%a, %b : tensor<28x128xf32>, tensor<2x128x32xf32>) outs(%f : tensor<28x64xf32>) {
  ^bb0(%x: f32, %y: f32, %acc: f32):
    %p = arith.mulf %x, %y : f32
    %s = arith.addf %acc, %p : f32
    linalg.yield %s : f32
  } -> tensor<28x64xf32>
  %r = linalg.generic {
    indexing_maps = [affine_map<(m, n) -> (m, n)>, affine_map<(m, n) -> (m, n)>], iterator_types = ["parallel", "parallel"]
  } ins(%c : tensor<28x64xf32>) outs(%out : tensor<28x64xf32>) {
  ^bb0(%x: f32, %o: f32):
    %t = math.tanh %x : f32
    linalg.yield %t : f32
  } -> tensor<28x64xf32>
  return %r : tensor<28x64xf32>
}
