// RUN: neo-opt --neo-schedule=target=znver4 %s | FileCheck %s
// RUN: neo-opt --neo-schedule=target=icelake-server %s | FileCheck %s --check-prefix=TWELVE

// Rows at a distance of 8 KiB from each other meet in one set of the first-level cache, which has places for eight of
// their lines, or for twelve: register tiles are not higher.
// CHECK-LABEL:  func.func @deep
// CHECK-SAME:     rows = 8
// TWELVE-LABEL: func.func @deep
// TWELVE-SAME:    rows = 12
func.func @deep(%a: tensor<49x2048xf32>, %b: tensor<16x2048x32xf32>, %out: tensor<49x512xf32>) -> tensor<49x512xf32> {
  %zero = arith.constant 0.0 : f32
  %f = linalg.fill ins(%zero : f32) outs(%out : tensor<49x512xf32>) -> tensor<49x512xf32>
  %c = linalg.generic {
    indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n floordiv 32, k, n mod 32)>, affine_map<(m, n, k) -> (m, n)>],
    iterator_types = ["parallel", "parallel", "reduction"]
  } ins(%a, %b : tensor<49x2048xf32>, tensor<16x2048x32xf32>) outs(%f : tensor<49x512xf32>) {
  ^bb0(%x: f32, %y: f32, %acc: f32):
    %p = arith.mulf %x, %y : f32
    %s = arith.addf %acc, %p : f32
    linalg.yield %s : f32
  } -> tensor<49x512xf32>
  return %c : tensor<49x512xf32>
}

// Rows that are two kilobytes long meet in two sets, where 14 of them have places.
// CHECK-LABEL:  func.func @shallow
// CHECK-SAME:     rows = 14
// TWELVE-LABEL: func.func @shallow
// TWELVE-SAME:    rows = 14
func.func @shallow(%a: tensor<49x512xf32>, %b: tensor<16x512x32xf32>, %out: tensor<49x512xf32>) -> tensor<49x512xf32> {
  %zero = arith.constant 0.0 : f32
  %f = linalg.fill ins(%zero : f32) outs(%out : tensor<49x512xf32>) -> tensor<49x512xf32>
  %c = linalg.generic {
    indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n floordiv 32, k, n mod 32)>, affine_map<(m, n, k) -> (m, n)>],
    iterator_types = ["parallel", "parallel", "reduction"]
  } ins(%a, %b : tensor<49x512xf32>, tensor<16x512x32xf32>) outs(%f : tensor<49x512xf32>) {
  ^bb0(%x: f32, %y: f32, %acc: f32):
    %p = arith.mulf %x, %y : f32
    %s = arith.addf %acc, %p : f32
    linalg.yield %s : f32
  } -> tensor<49x512xf32>
  return %c : tensor<49x512xf32>
}

// Of a window that moves by two, the points of a row of the result are as far apart: a tile is one row of seven, not two.
// CHECK-LABEL: func.func @window
// CHECK:         iter_args
// CHECK-COUNT-14:  math.fma
// CHECK-NOT:       math.fma
// CHECK:           scf.yield
func.func @window(%a: tensor<16x16x512xf32>, %b: tensor<16x3x3x512x32xf32>, %out: tensor<7x7x512xf32>) -> tensor<7x7x512xf32> {
  %zero = arith.constant 0.0 : f32
  %f = linalg.fill ins(%zero : f32) outs(%out : tensor<7x7x512xf32>) -> tensor<7x7x512xf32>
  %c = linalg.generic {
    indexing_maps = [affine_map<(h, w, n, y, x, k) -> (2 * h + y, 2 * w + x, k)>, affine_map<(h, w, n, y, x, k) -> (n floordiv 32, y, x, k, n mod 32)>, affine_map<(h, w, n, y, x, k) -> (h, w, n)>],
    iterator_types = ["parallel", "parallel", "parallel", "reduction", "reduction", "reduction"]
  } ins(%a, %b : tensor<16x16x512xf32>, tensor<16x3x3x512x32xf32>) outs(%f : tensor<7x7x512xf32>) {
  ^bb0(%x: f32, %y: f32, %acc: f32):
    %p = arith.mulf %x, %y : f32
    %s = arith.addf %acc, %p : f32
    linalg.yield %s : f32
  } -> tensor<7x7x512xf32>
  return %c : tensor<7x7x512xf32>
}

// Rows of a large product are read from a copy, in which they do not meet.
// CHECK-LABEL: func.func @copied
// CHECK-SAME:    pack = 1
// CHECK-SAME:    rows = 14
func.func @copied(%a: tensor<256x2048xf32>, %b: tensor<16x2048x32xf32>, %out: tensor<256x512xf32>) -> tensor<256x512xf32> {
  %zero = arith.constant 0.0 : f32
  %f = linalg.fill ins(%zero : f32) outs(%out : tensor<256x512xf32>) -> tensor<256x512xf32>
  %c = linalg.generic {
    indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n floordiv 32, k, n mod 32)>, affine_map<(m, n, k) -> (m, n)>],
    iterator_types = ["parallel", "parallel", "reduction"]
  } ins(%a, %b : tensor<256x2048xf32>, tensor<16x2048x32xf32>) outs(%f : tensor<256x512xf32>) {
  ^bb0(%x: f32, %y: f32, %acc: f32):
    %p = arith.mulf %x, %y : f32
    %s = arith.addf %acc, %p : f32
    linalg.yield %s : f32
  } -> tensor<256x512xf32>
  return %c : tensor<256x512xf32>
}
