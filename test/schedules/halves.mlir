// RUN: neo-opt --neo-schedule=target=x86-64-v4 --split-input-file %s | FileCheck %s

// Work items are blocks of rows, an even number of them, and in these panels: a thread of two has half of the rows, as
// it had in the kernel before.
// CHECK-LABEL: func.func @product
// CHECK:       scf.forall (%[[ITEM:.*]]) in (64)
// CHECK:         arith.divui %[[ITEM]], %c32
func.func @product(%a: tensor<112x64xf32>, %b: tensor<32x64x32xf32>, %out: tensor<112x1024xf32>) -> tensor<112x1024xf32> {
  %zero = arith.constant 0.0 : f32
  %f = linalg.fill ins(%zero : f32) outs(%out : tensor<112x1024xf32>) -> tensor<112x1024xf32>
  %c = linalg.generic {
    indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n floordiv 32, k, n mod 32)>, affine_map<(m, n, k) -> (m, n)>],
    iterator_types = ["parallel", "parallel", "reduction"]
  } ins(%a, %b : tensor<112x64xf32>, tensor<32x64x32xf32>) outs(%f : tensor<112x1024xf32>) {
  ^bb0(%x: f32, %y: f32, %acc: f32):
    %p = arith.mulf %x, %y : f32
    %s = arith.addf %acc, %p : f32
    linalg.yield %s : f32
  } -> tensor<112x1024xf32>
  return %c : tensor<112x1024xf32>
}

// -----

// What would be three blocks of strips is four.
// CHECK-LABEL: func.func @even
// CHECK:       scf.forall (%[[ITEM:.*]]) in (24)
// CHECK:         arith.divui %[[ITEM]], %c6
func.func @even(%a: tensor<112x64xf32>, %b: tensor<6x64x32xf32>, %out: tensor<112x192xf32>) -> tensor<112x192xf32> {
  %zero = arith.constant 0.0 : f32
  %f = linalg.fill ins(%zero : f32) outs(%out : tensor<112x192xf32>) -> tensor<112x192xf32>
  %c = linalg.generic {
    indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n floordiv 32, k, n mod 32)>, affine_map<(m, n, k) -> (m, n)>],
    iterator_types = ["parallel", "parallel", "reduction"]
  } ins(%a, %b : tensor<112x64xf32>, tensor<6x64x32xf32>) outs(%f : tensor<112x192xf32>) {
  ^bb0(%x: f32, %y: f32, %acc: f32):
    %p = arith.mulf %x, %y : f32
    %s = arith.addf %acc, %p : f32
    linalg.yield %s : f32
  } -> tensor<112x192xf32>
  return %c : tensor<112x192xf32>
}

// -----

// Three blocks of channels: rows outermost where a half has many places, channels where it has few.
// CHECK-LABEL: func.func @rows
// CHECK:       scf.forall (%[[ITEM:.*]]) in (12)
// CHECK:         arith.divui %[[ITEM]], %c3
#x = affine_map<(h, v, c, a, b) -> (h + a, v + b, c)>
#w = affine_map<(h, v, c, a, b) -> (a, b, c)>
#y = affine_map<(h, v, c, a, b) -> (h, v, c)>
func.func @rows(%x: tensor<16x16x384xf32>, %w: tensor<3x3x384xf32>, %out: tensor<14x14x384xf32>) -> tensor<14x14x384xf32>
    attributes {neo.parameters = {channels = 128 : i64}} {
  %zero = arith.constant 0.0 : f32
  %f = linalg.fill ins(%zero : f32) outs(%out : tensor<14x14x384xf32>) -> tensor<14x14x384xf32>
  %r = linalg.generic {
    indexing_maps = [#x, #w, #y], iterator_types = ["parallel", "parallel", "parallel", "reduction", "reduction"]
  } ins(%x, %w : tensor<16x16x384xf32>, tensor<3x3x384xf32>) outs(%f : tensor<14x14x384xf32>) {
  ^bb0(%a: f32, %b: f32, %acc: f32):
    %m = arith.mulf %a, %b : f32
    %s = arith.addf %acc, %m : f32
    linalg.yield %s : f32
  } -> tensor<14x14x384xf32>
  return %r : tensor<14x14x384xf32>
}

// -----

// CHECK-LABEL: func.func @channels
// CHECK:       scf.forall (%[[ITEM:.*]]) in (12)
// CHECK:         arith.divui %[[ITEM]], %c4
#x = affine_map<(h, v, c, a, b) -> (h + a, v + b, c)>
#w = affine_map<(h, v, c, a, b) -> (a, b, c)>
#y = affine_map<(h, v, c, a, b) -> (h, v, c)>
func.func @channels(%x: tensor<9x9x384xf32>, %w: tensor<3x3x384xf32>, %out: tensor<7x7x384xf32>) -> tensor<7x7x384xf32>
    attributes {neo.parameters = {channels = 128 : i64, item = 25000 : i64}} {
  %zero = arith.constant 0.0 : f32
  %f = linalg.fill ins(%zero : f32) outs(%out : tensor<7x7x384xf32>) -> tensor<7x7x384xf32>
  %r = linalg.generic {
    indexing_maps = [#x, #w, #y], iterator_types = ["parallel", "parallel", "parallel", "reduction", "reduction"]
  } ins(%x, %w : tensor<9x9x384xf32>, tensor<3x3x384xf32>) outs(%f : tensor<7x7x384xf32>) {
  ^bb0(%a: f32, %b: f32, %acc: f32):
    %m = arith.mulf %a, %b : f32
    %s = arith.addf %acc, %m : f32
    linalg.yield %s : f32
  } -> tensor<7x7x384xf32>
  return %r : tensor<7x7x384xf32>
}
