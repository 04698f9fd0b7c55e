// RUN: neo-opt --neo-schedule=target=sapphirerapids --split-input-file %s | FileCheck %s
// RUN: neo-opt --neo-schedule=target=znver4 --split-input-file %s | FileCheck %s --check-prefix=ONE

// Where two vectors as long as a line are multiplied a cycle, a tile has two rows of one vector: of four rows of nine
// inputs each is loaded once, and each weight once for both rows. Lines that are written are asked for first. At the
// border, rows that are there come first; one that may not be is met behind a test. Two strips go down bands of eight
// rows and of six.
// CHECK-LABEL:     func.func @pairs
// CHECK-SAME:        channels = 96 : i64
// CHECK:             scf.forall ({{.*}}) in (8)
// CHECK:               arith.muli %{{.*}}, %c8
// CHECK:               scf.for %{{.*}} step %c2 {
// CHECK:                 arith.cmpi ult, {{.*}}, %c11
// CHECK-NEXT:            scf.if
// CHECK:                   scf.for %{{.*}} step %c16 {
// CHECK-COUNT-14:            memref.prefetch {{.*}} write, locality<3>
// CHECK-NOT:                 memref.prefetch
// CHECK-COUNT-120:           math.fma
// CHECK-NOT:                 math.fma
// CHECK-COUNT-14:            vector.store
// CHECK:                 } else {
// CHECK:                   scf.for %{{.*}} step %c16 {
// CHECK-COUNT-80:            math.fma
// CHECK-NEXT:                scf.if
// CHECK-COUNT-20:              math.fma
// CHECK-NOT:                   math.fma
// CHECK:                       scf.yield
// CHECK:                     scf.if
// CHECK-COUNT-20:              math.fma
// CHECK-NOT:                   math.fma
// CHECK:                       scf.yield
// ONE-LABEL:       func.func @pairs
// ONE-NOT:           memref.prefetch
// ONE:               scf.for %{{.*}} step %c1 {
// ONE:                 scf.for %{{.*}} step %c32 {
func.func @pairs(%x: tensor<14x14x384xf32>, %w: tensor<3x3x384xf32>, %out: tensor<14x14x384xf32>) -> tensor<14x14x384xf32> {
  %zero = arith.constant 0.0 : f32
  %p = tensor.pad %x low[1, 1, 0] high[1, 1, 0] {
  ^bb0(%i: index, %j: index, %k: index):
    tensor.yield %zero : f32
  } : tensor<14x14x384xf32> to tensor<16x16x384xf32>
  %f = linalg.fill ins(%zero : f32) outs(%out : tensor<14x14x384xf32>) -> tensor<14x14x384xf32>
  %r = linalg.generic {
    indexing_maps = [affine_map<(h, v, c, a, b) -> (h + a, v + b, c)>, affine_map<(h, v, c, a, b) -> (a, b, c)>, affine_map<(h, v, c, a, b) -> (h, v, c)>],
    iterator_types = ["parallel", "parallel", "parallel", "reduction", "reduction"]
  } ins(%p, %w : tensor<16x16x384xf32>, tensor<3x3x384xf32>) outs(%f : tensor<14x14x384xf32>) {
  ^bb0(%a: f32, %b: f32, %acc: f32):
    %m = arith.mulf %a, %b : f32
    %s = arith.addf %acc, %m : f32
    linalg.yield %s : f32
  } -> tensor<14x14x384xf32>
  return %r : tensor<14x14x384xf32>
}

// -----

// Of nine rows the last is alone, in tiles of two vectors. Without a border in the kernel nothing is asked about rows, and
// no results are asked for, but the weights of a block are, whose four lines are those that have places of their own in
// the first-level cache, where points are 3840 bytes apart.
// CHECK-LABEL:     func.func @odd
// CHECK-SAME:        channels = 64 : i64
// CHECK-NOT:         scf.if
// CHECK-NOT:         memref.prefetch {{.*}} write
// CHECK:             scf.for %{{.*}} step %c16 {
// CHECK-COUNT-9:       memref.prefetch {{.*}} read
// CHECK:             scf.for %{{.*}} = %c0 to %c8 step %c2 {
// CHECK:               scf.for %{{.*}} step %c16 {
// CHECK-COUNT-126:       math.fma
// CHECK-NOT:             math.fma
// CHECK:             scf.for %{{.*}} step %c32 {
// CHECK-COUNT-126:     math.fma
// CHECK-COUNT-14:      vector.store
func.func @odd(%x: tensor<11x9x960xf32>, %w: tensor<3x3x960xf32>, %out: tensor<9x7x960xf32>) -> tensor<9x7x960xf32> {
  %zero = arith.constant 0.0 : f32
  %f = linalg.fill ins(%zero : f32) outs(%out : tensor<9x7x960xf32>) -> tensor<9x7x960xf32>
  %r = linalg.generic {
    indexing_maps = [affine_map<(h, v, c, a, b) -> (h + a, v + b, c)>, affine_map<(h, v, c, a, b) -> (a, b, c)>, affine_map<(h, v, c, a, b) -> (h, v, c)>],
    iterator_types = ["parallel", "parallel", "parallel", "reduction", "reduction"]
  } ins(%x, %w : tensor<11x9x960xf32>, tensor<3x3x960xf32>) outs(%f : tensor<9x7x960xf32>) {
  ^bb0(%a: f32, %b: f32, %acc: f32):
    %m = arith.mulf %a, %b : f32
    %s = arith.addf %acc, %m : f32
    linalg.yield %s : f32
  } -> tensor<9x7x960xf32>
  return %r : tensor<9x7x960xf32>
}

// -----

// Few results a plane are not worth the weights of tiles half as wide.
// CHECK-LABEL:     func.func @few
// CHECK-NOT:         memref.prefetch
// CHECK:             scf.for %{{.*}} step %c1 {
// CHECK:               scf.for %{{.*}} step %c32 {
func.func @few(%x: tensor<9x9x960xf32>, %w: tensor<3x3x960xf32>, %out: tensor<7x7x960xf32>) -> tensor<7x7x960xf32> {
  %zero = arith.constant 0.0 : f32
  %f = linalg.fill ins(%zero : f32) outs(%out : tensor<7x7x960xf32>) -> tensor<7x7x960xf32>
  %r = linalg.generic {
    indexing_maps = [affine_map<(h, v, c, a, b) -> (h + a, v + b, c)>, affine_map<(h, v, c, a, b) -> (a, b, c)>, affine_map<(h, v, c, a, b) -> (h, v, c)>],
    iterator_types = ["parallel", "parallel", "parallel", "reduction", "reduction"]
  } ins(%x, %w : tensor<9x9x960xf32>, tensor<3x3x960xf32>) outs(%f : tensor<7x7x960xf32>) {
  ^bb0(%a: f32, %b: f32, %acc: f32):
    %m = arith.mulf %a, %b : f32
    %s = arith.addf %acc, %m : f32
    linalg.yield %s : f32
  } -> tensor<7x7x960xf32>
  return %r : tensor<7x7x960xf32>
}

// -----

// What moves is more than the second-level cache: rows are read from end to end, two together.
// CHECK-LABEL:     func.func @from_memory
// CHECK-SAME:        channels = 160 : i64
// CHECK-NOT:         memref.prefetch {{.*}} read
// CHECK:             scf.forall ({{.*}}) in (28)
// CHECK:               scf.for %{{.*}} step %c2 {
// CHECK:                 scf.for %{{.*}} = %c0 to %c7 step %c1 {
// CHECK:                   scf.for %{{.*}} = %c0 to %c144 step %c16 {
// CHECK-COUNT-16:            memref.prefetch {{.*}} write, locality<3>
// CHECK-COUNT-144:           math.fma
// CHECK-NOT:                 math.fma
func.func @from_memory(%x: tensor<58x58x144xf32>, %w: tensor<3x3x144xf32>, %out: tensor<56x56x144xf32>) -> tensor<56x56x144xf32> {
  %zero = arith.constant 0.0 : f32
  %f = linalg.fill ins(%zero : f32) outs(%out : tensor<56x56x144xf32>) -> tensor<56x56x144xf32>
  %r = linalg.generic {
    indexing_maps = [affine_map<(h, v, c, a, b) -> (h + a, v + b, c)>, affine_map<(h, v, c, a, b) -> (a, b, c)>, affine_map<(h, v, c, a, b) -> (h, v, c)>],
    iterator_types = ["parallel", "parallel", "parallel", "reduction", "reduction"]
  } ins(%x, %w : tensor<58x58x144xf32>, tensor<3x3x144xf32>) outs(%f : tensor<56x56x144xf32>) {
  ^bb0(%a: f32, %b: f32, %acc: f32):
    %m = arith.mulf %a, %b : f32
    %s = arith.addf %acc, %m : f32
    linalg.yield %s : f32
  } -> tensor<56x56x144xf32>
  return %r : tensor<56x56x144xf32>
}
