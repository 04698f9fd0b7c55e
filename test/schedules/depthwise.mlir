// RUN: neo-opt --neo-schedule=target=x86-64-v4 --split-input-file %s | FileCheck %s

// A row of the window meets ten inputs for eight results, each loaded once; three weights are held.
// CHECK-LABEL:    func.func @row
// CHECK-SAME:       neo.schedule = "depthwise"
// CHECK-COUNT-13: vector.load
// CHECK-NOT:      vector.load
// CHECK-COUNT-8:  vector.store
func.func @row(%x: tensor<10x16xf32>, %w: tensor<3x16xf32>, %out: tensor<8x16xf32>) -> tensor<8x16xf32> {
  %zero = arith.constant 0.0 : f32
  %f = linalg.fill ins(%zero : f32) outs(%out : tensor<8x16xf32>) -> tensor<8x16xf32>
  %r = linalg.generic {
    indexing_maps = [affine_map<(i, c, k) -> (i + k, c)>, affine_map<(i, c, k) -> (k, c)>, affine_map<(i, c, k) -> (i, c)>],
    iterator_types = ["parallel", "parallel", "reduction"]
  } ins(%x, %w : tensor<10x16xf32>, tensor<3x16xf32>) outs(%f : tensor<8x16xf32>) {
  ^bb0(%a: f32, %b: f32, %acc: f32):
    %p = arith.mulf %a, %b : f32
    %s = arith.addf %acc, %p : f32
    linalg.yield %s : f32
  } -> tensor<8x16xf32>
  return %r : tensor<8x16xf32>
}

// -----

// Zeros around the input are in no memory. Rows of the window that meet them are left out by the bounds of their loop;
// of the products of six results, the first strip and the last leave out the one that would.
// CHECK-LABEL:    func.func @border
// CHECK-SAME:       neo.schedule = "depthwise"
// CHECK-NOT:        alloc
// CHECK:            arith.minsi
// CHECK:            scf.for
// CHECK-COUNT-17:     math.fma
// CHECK-NOT:          math.fma
// CHECK:              scf.yield
// CHECK:            scf.for
// CHECK:              scf.for
// CHECK-COUNT-18:       math.fma
// CHECK-NOT:            math.fma
// CHECK:                scf.yield
// CHECK:            scf.for
// CHECK-COUNT-17:     math.fma
// CHECK-NOT:          math.fma
// CHECK:              scf.yield
func.func @border(%x: tensor<9x24x16xf32>, %w: tensor<3x3x16xf32>, %out: tensor<9x24x16xf32>) -> tensor<9x24x16xf32>
    attributes {neo.parameters = {rows = 6 : i64}} {
  %zero = arith.constant 0.0 : f32
  %p = tensor.pad %x low[1, 1, 0] high[1, 1, 0] {
  ^bb0(%i: index, %j: index, %k: index):
    tensor.yield %zero : f32
  } : tensor<9x24x16xf32> to tensor<11x26x16xf32>
  %f = linalg.fill ins(%zero : f32) outs(%out : tensor<9x24x16xf32>) -> tensor<9x24x16xf32>
  %r = linalg.generic {
    indexing_maps = [affine_map<(h, v, c, a, b) -> (h + a, v + b, c)>, affine_map<(h, v, c, a, b) -> (a, b, c)>, affine_map<(h, v, c, a, b) -> (h, v, c)>],
    iterator_types = ["parallel", "parallel", "parallel", "reduction", "reduction"]
  } ins(%p, %w : tensor<11x26x16xf32>, tensor<3x3x16xf32>) outs(%f : tensor<9x24x16xf32>) {
  ^bb0(%a: f32, %b: f32, %acc: f32):
    %m = arith.mulf %a, %b : f32
    %s = arith.addf %acc, %m : f32
    linalg.yield %s : f32
  } -> tensor<9x24x16xf32>
  return %r : tensor<9x24x16xf32>
}
