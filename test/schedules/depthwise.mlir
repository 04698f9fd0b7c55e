// RUN: neo-opt --neo-schedule=target=x86-64-v4 --split-input-file %s | FileCheck %s
// RUN: neo-opt --neo-schedule=target=znver2 --split-input-file %s | FileCheck %s --check-prefix=ZEN

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

// Zeros around the input are in no memory. Where the window meets none above or below, its rows are written out; rows
// that do are left out by the bounds of their loop. Of the products of six results, the first strip and the last leave
// out the one that would.
// CHECK-LABEL:    func.func @border
// CHECK-SAME:       neo.schedule = "depthwise"
// CHECK-NOT:        alloc
// CHECK:            scf.for
// CHECK:              arith.cmpi ult, {{.*}}, %c7
// CHECK-NEXT:         scf.if
// CHECK-COUNT-51:       math.fma
// CHECK-NOT:            math.fma
// CHECK:                scf.for
// CHECK-COUNT-54:         math.fma
// CHECK-NOT:              math.fma
// CHECK:                }
// CHECK-COUNT-51:       math.fma
// CHECK-NOT:            math.fma
// CHECK:              } else {
// CHECK:                arith.minsi
// CHECK:                scf.for
// CHECK-COUNT-17:         math.fma
// CHECK-NOT:              math.fma
// CHECK:                  scf.yield
// CHECK:                scf.for
// CHECK:                  scf.for
// CHECK-COUNT-18:           math.fma
// CHECK-NOT:                math.fma
// CHECK:                    scf.yield
// CHECK:                scf.for
// CHECK-COUNT-17:         math.fma
// CHECK-NOT:              math.fma
// CHECK:                  scf.yield
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

// -----

// Rows too long for the first-level cache are cut into strips, each of which goes down the rows of a band; channels are
// cut into blocks. What the strip below reads first is fetched: a line of every point, in the steps of two vectors.
// ZEN-LABEL:    func.func @down
// ZEN:            scf.forall ({{.*}}) in (42)
// ZEN:              arith.cmpi eq
// ZEN-NEXT:         scf.if
// ZEN-NEXT:           scf.for
// ZEN:                  arith.cmpi ult
// ZEN-NEXT:             scf.if
// ZEN:                    scf.for {{.*}} step %c8
// ZEN-COUNT-4:              memref.prefetch {{.*}} read, locality<2>
// ZEN-NOT:                  memref.prefetch
// ZEN-COUNT-69:             math.fma
// ZEN-NOT:                  math.fma
// ZEN-COUNT-8:              vector.store

func.func @down(%x: tensor<56x56x144xf32>, %w: tensor<3x3x144xf32>, %out: tensor<56x56x144xf32>) -> tensor<56x56x144xf32> {
  %zero = arith.constant 0.0 : f32
  %p = tensor.pad %x low[1, 1, 0] high[1, 1, 0] {
  ^bb0(%i: index, %j: index, %k: index):
    tensor.yield %zero : f32
  } : tensor<56x56x144xf32> to tensor<58x58x144xf32>
  %f = linalg.fill ins(%zero : f32) outs(%out : tensor<56x56x144xf32>) -> tensor<56x56x144xf32>
  %r = linalg.generic {
    indexing_maps = [affine_map<(h, v, c, a, b) -> (h + a, v + b, c)>, affine_map<(h, v, c, a, b) -> (a, b, c)>, affine_map<(h, v, c, a, b) -> (h, v, c)>],
    iterator_types = ["parallel", "parallel", "parallel", "reduction", "reduction"]
  } ins(%p, %w : tensor<58x58x144xf32>, tensor<3x3x144xf32>) outs(%f : tensor<56x56x144xf32>) {
  ^bb0(%a: f32, %b: f32, %acc: f32):
    %m = arith.mulf %a, %b : f32
    %s = arith.addf %acc, %m : f32
    linalg.yield %s : f32
  } -> tensor<56x56x144xf32>
  return %r : tensor<56x56x144xf32>
}

// -----

// Of a window that moves by two few rows are met again: rows from memory are read from end to end, and not fetched,
// where hardware is late with short pieces of them. Where it is not, strips go down the rows of three bands.
// CHECK-LABEL:    func.func @along
// CHECK:            scf.forall ({{.*}}) in (42)
// CHECK-NOT:        memref.prefetch {{.*}} read
// CHECK:              scf.for {{.*}} step %c1 {
// CHECK-NOT:            memref.prefetch {{.*}} read
// CHECK:                scf.for {{.*}} step %c32
// CHECK-COUNT-144:        math.fma
// ZEN-LABEL:    func.func @along
// ZEN-NOT:        memref.prefetch {{.*}} read
// ZEN:            scf.for
// ZEN:              scf.for
// ZEN:                scf.for {{.*}} step %c16
// ZEN-COUNT-72:         math.fma
// ZEN-NOT:              memref.prefetch {{.*}} read
func.func @along(%x: tensor<113x113x96xf32>, %w: tensor<3x3x96xf32>, %out: tensor<56x56x96xf32>) -> tensor<56x56x96xf32> {
  %zero = arith.constant 0.0 : f32
  %f = linalg.fill ins(%zero : f32) outs(%out : tensor<56x56x96xf32>) -> tensor<56x56x96xf32>
  %r = linalg.generic {
    indexing_maps = [affine_map<(h, v, c, a, b) -> (h * 2 + a, v * 2 + b, c)>, affine_map<(h, v, c, a, b) -> (a, b, c)>, affine_map<(h, v, c, a, b) -> (h, v, c)>],
    iterator_types = ["parallel", "parallel", "parallel", "reduction", "reduction"]
  } ins(%x, %w : tensor<113x113x96xf32>, tensor<3x3x96xf32>) outs(%f : tensor<56x56x96xf32>) {
  ^bb0(%a: f32, %b: f32, %acc: f32):
    %m = arith.mulf %a, %b : f32
    %s = arith.addf %acc, %m : f32
    linalg.yield %s : f32
  } -> tensor<56x56x96xf32>
  return %r : tensor<56x56x96xf32>
}
