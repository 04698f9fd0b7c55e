// RUN: neo-opt --neo-schedule=target=x86-64-v4 %s | FileCheck %s --check-prefix=ROWS
// RUN: neo-opt --neo-schedule=target=znver2 %s | FileCheck %s --check-prefix=PANELS

// The rows of the next tile are fetched, but for cores whose own prefetching would follow from row to row: there a panel
// of weights alone, which is fetched from end to end, since the rows would have left the first-level cache.
// ROWS-LABEL:   func.func @matmul
// ROWS:           memref.prefetch %{{.*}}, read, locality<2>, data : memref<401408xf32>
// PANELS-LABEL: func.func @matmul
// PANELS-NOT:     memref<401408xf32>
// PANELS:         memref.prefetch %{{.*}}, read, locality<2>, data : memref<65536xf32>
// PANELS-NOT:     memref<401408xf32>
func.func @matmul(%a: tensor<784x512xf32>, %b: tensor<4x512x32xf32>, %out: tensor<784x128xf32>) -> tensor<784x128xf32> {
  %zero = arith.constant 0.0 : f32
  %f = linalg.fill ins(%zero : f32) outs(%out : tensor<784x128xf32>) -> tensor<784x128xf32>
  %c = linalg.generic {
    indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n floordiv 32, k, n mod 32)>, affine_map<(m, n, k) -> (m, n)>],
    iterator_types = ["parallel", "parallel", "reduction"]
  } ins(%a, %b : tensor<784x512xf32>, tensor<4x512x32xf32>) outs(%f : tensor<784x128xf32>) {
  ^bb0(%x: f32, %y: f32, %acc: f32):
    %p = arith.mulf %x, %y : f32
    %s = arith.addf %acc, %p : f32
    linalg.yield %s : f32
  } -> tensor<784x128xf32>
  return %c : tensor<784x128xf32>
}

// A window that moves by two reads a quarter of its input: of rows of 2 kB, 21 tiles of them fit half the cache.
// PANELS-LABEL: func.func @strided
// PANELS-SAME:    item = 21
func.func @strided(%a: tensor<56x56x512xf32>, %b: tensor<6x512x16xf32>, %out: tensor<28x28x96xf32>) -> tensor<28x28x96xf32> {
  %zero = arith.constant 0.0 : f32
  %f = linalg.fill ins(%zero : f32) outs(%out : tensor<28x28x96xf32>) -> tensor<28x28x96xf32>
  %c = linalg.generic {
    indexing_maps = [affine_map<(h, w, n, k) -> (2 * h, 2 * w, k)>, affine_map<(h, w, n, k) -> (n floordiv 16, k, n mod 16)>, affine_map<(h, w, n, k) -> (h, w, n)>],
    iterator_types = ["parallel", "parallel", "parallel", "reduction"]
  } ins(%a, %b : tensor<56x56x512xf32>, tensor<6x512x16xf32>) outs(%f : tensor<28x28x96xf32>) {
  ^bb0(%x: f32, %y: f32, %acc: f32):
    %p = arith.mulf %x, %y : f32
    %s = arith.addf %acc, %p : f32
    linalg.yield %s : f32
  } -> tensor<28x28x96xf32>
  return %c : tensor<28x28x96xf32>
}

// Where all panels pass by the rows of a tile, each has such cores fetch a part of the next rows, these too from end to
// end: two of six rows, two elements in each step, and none behind the last.
// PANELS-LABEL: func.func @narrow
// PANELS-DAG:     %[[LAST:.*]] = arith.constant 802304 : index
// PANELS-DAG:     %[[EACH:.*]] = arith.constant 2 : index
// PANELS:         %[[START:.*]] = arith.minsi %{{.*}}, %[[LAST]] : index
// PANELS:         %[[STEP:.*]] = arith.muli %{{.*}}, %[[EACH]] overflow<nsw> : index
// PANELS:         %[[PLACE:.*]] = arith.addi %[[START]], %[[STEP]] overflow<nsw> : index
// PANELS:         memref.prefetch %{{.*}}[%[[PLACE]]], read, locality<2>, data : memref<802816xf32>
// PANELS:         math.fma
func.func @narrow(%a: tensor<3136x256xf32>, %b: tensor<4x256x16xf32>, %out: tensor<3136x64xf32>) -> tensor<3136x64xf32> {
  %zero = arith.constant 0.0 : f32
  %f = linalg.fill ins(%zero : f32) outs(%out : tensor<3136x64xf32>) -> tensor<3136x64xf32>
  %c = linalg.generic {
    indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n floordiv 16, k, n mod 16)>, affine_map<(m, n, k) -> (m, n)>],
    iterator_types = ["parallel", "parallel", "reduction"]
  } ins(%a, %b : tensor<3136x256xf32>, tensor<4x256x16xf32>) outs(%f : tensor<3136x64xf32>) {
  ^bb0(%x: f32, %y: f32, %acc: f32):
    %p = arith.mulf %x, %y : f32
    %s = arith.addf %acc, %p : f32
    linalg.yield %s : f32
  } -> tensor<3136x64xf32>
  return %c : tensor<3136x64xf32>
}
