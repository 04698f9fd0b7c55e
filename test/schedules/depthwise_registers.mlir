// RUN: neo-opt --neo-schedule=target=znver2 --split-input-file %s | FileCheck %s
// RUN: neo-opt --neo-schedule=target=icelake-server --split-input-file %s | FileCheck %s --check-prefix=LARGE

// Rows of 14 points: 64 channels of the four rows under a window are half of the first-level cache of 32 KB, in whole
// lines. Sixteen registers hold a strip of seven results of one vector with a row of weights; of two it would be four.
// CHECK-LABEL:     func.func @short_rows
// CHECK-SAME:        channels = 64 : i64
// CHECK-SAME:        vectors = 1 : i64
// CHECK-COUNT-63:    math.fma
// CHECK-NOT:         math.fma
// CHECK-COUNT-7:     vector.store
// With twice the registers a strip of two vectors is as long.
// LARGE-LABEL:     func.func @short_rows
// LARGE-SAME:        channels = 96 : i64
// LARGE-SAME:        vectors = 2 : i64
func.func @short_rows(%x: tensor<16x16x384xf32>, %w: tensor<3x3x384xf32>, %out: tensor<14x14x384xf32>) -> tensor<14x14x384xf32> {
  %zero = arith.constant 0.0 : f32
  %f = linalg.fill ins(%zero : f32) outs(%out : tensor<14x14x384xf32>) -> tensor<14x14x384xf32>
  %r = linalg.generic {
    indexing_maps = [affine_map<(h, v, c, a, b) -> (h + a, v + b, c)>, affine_map<(h, v, c, a, b) -> (a, b, c)>, affine_map<(h, v, c, a, b) -> (h, v, c)>],
    iterator_types = ["parallel", "parallel", "parallel", "reduction", "reduction"]
  } ins(%x, %w : tensor<16x16x384xf32>, tensor<3x3x384xf32>) outs(%f : tensor<14x14x384xf32>) {
  ^bb0(%a: f32, %b: f32, %acc: f32):
    %p = arith.mulf %a, %b : f32
    %s = arith.addf %acc, %p : f32
    linalg.yield %s : f32
  } -> tensor<14x14x384xf32>
  return %r : tensor<14x14x384xf32>
}

// -----

// Of rows of 56 points strips of eight go down the rows, of 48 channels, or 96 where the cache has 48 KB.
// CHECK-LABEL:     func.func @long_rows
// CHECK-SAME:        channels = 48 : i64
// CHECK-SAME:        rows = 8 : i64
// CHECK-SAME:        vectors = 1 : i64
// LARGE-LABEL:     func.func @long_rows
// LARGE-SAME:        channels = 96 : i64
// LARGE-SAME:        rows = 8 : i64
// LARGE-SAME:        vectors = 2 : i64
func.func @long_rows(%x: tensor<58x58x144xf32>, %w: tensor<3x3x144xf32>, %out: tensor<56x56x144xf32>) -> tensor<56x56x144xf32> {
  %zero = arith.constant 0.0 : f32
  %f = linalg.fill ins(%zero : f32) outs(%out : tensor<56x56x144xf32>) -> tensor<56x56x144xf32>
  %r = linalg.generic {
    indexing_maps = [affine_map<(h, v, c, a, b) -> (h + a, v + b, c)>, affine_map<(h, v, c, a, b) -> (a, b, c)>, affine_map<(h, v, c, a, b) -> (h, v, c)>],
    iterator_types = ["parallel", "parallel", "parallel", "reduction", "reduction"]
  } ins(%x, %w : tensor<58x58x144xf32>, tensor<3x3x144xf32>) outs(%f : tensor<56x56x144xf32>) {
  ^bb0(%a: f32, %b: f32, %acc: f32):
    %p = arith.mulf %a, %b : f32
    %s = arith.addf %acc, %p : f32
    linalg.yield %s : f32
  } -> tensor<56x56x144xf32>
  return %r : tensor<56x56x144xf32>
}

// -----

// Five weights of two vectors leave room for strips of two in sixteen registers; of one vector strips are of six.
// CHECK-LABEL:     func.func @wide_window
// CHECK-SAME:        rows = 6 : i64
// CHECK-SAME:        vectors = 1 : i64
// CHECK:             scf.for
// CHECK-COUNT-30:      math.fma
// CHECK-NOT:           math.fma
// CHECK:               scf.yield
// LARGE-LABEL:     func.func @wide_window
// LARGE-SAME:        rows = 8 : i64
// LARGE-SAME:        vectors = 2 : i64
func.func @wide_window(%x: tensor<40x40x192xf32>, %w: tensor<5x5x192xf32>, %out: tensor<36x36x192xf32>) -> tensor<36x36x192xf32> {
  %zero = arith.constant 0.0 : f32
  %f = linalg.fill ins(%zero : f32) outs(%out : tensor<36x36x192xf32>) -> tensor<36x36x192xf32>
  %r = linalg.generic {
    indexing_maps = [affine_map<(h, v, c, a, b) -> (h + a, v + b, c)>, affine_map<(h, v, c, a, b) -> (a, b, c)>, affine_map<(h, v, c, a, b) -> (h, v, c)>],
    iterator_types = ["parallel", "parallel", "parallel", "reduction", "reduction"]
  } ins(%x, %w : tensor<40x40x192xf32>, tensor<5x5x192xf32>) outs(%f : tensor<36x36x192xf32>) {
  ^bb0(%a: f32, %b: f32, %acc: f32):
    %p = arith.mulf %a, %b : f32
    %s = arith.addf %acc, %p : f32
    linalg.yield %s : f32
  } -> tensor<36x36x192xf32>
  return %r : tensor<36x36x192xf32>
}

// -----

// Channels of two register tiles would fit one block: they are two, so that LLVM does not know where a tile starts.
// LARGE-LABEL:     func.func @few_channels
// LARGE-SAME:        channels = 32 : i64
// LARGE-SAME:        vectors = 2 : i64
func.func @few_channels(%x: tensor<26x26x64xf32>, %w: tensor<3x3x64xf32>, %out: tensor<24x24x64xf32>) -> tensor<24x24x64xf32> {
  %zero = arith.constant 0.0 : f32
  %f = linalg.fill ins(%zero : f32) outs(%out : tensor<24x24x64xf32>) -> tensor<24x24x64xf32>
  %r = linalg.generic {
    indexing_maps = [affine_map<(h, v, c, a, b) -> (h + a, v + b, c)>, affine_map<(h, v, c, a, b) -> (a, b, c)>, affine_map<(h, v, c, a, b) -> (h, v, c)>],
    iterator_types = ["parallel", "parallel", "parallel", "reduction", "reduction"]
  } ins(%x, %w : tensor<26x26x64xf32>, tensor<3x3x64xf32>) outs(%f : tensor<24x24x64xf32>) {
  ^bb0(%a: f32, %b: f32, %acc: f32):
    %p = arith.mulf %a, %b : f32
    %s = arith.addf %acc, %p : f32
    linalg.yield %s : f32
  } -> tensor<24x24x64xf32>
  return %r : tensor<24x24x64xf32>
}
