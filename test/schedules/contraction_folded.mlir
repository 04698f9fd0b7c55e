// RUN: neo-opt --neo-schedule=target=znver2 %s | FileCheck %s
// RUN: neo-opt --neo-schedule=target=sapphirerapids %s | FileCheck %s --check-prefix=WIDE

// On 16 registers a map's rows of seven would be tiles of four and of three, and six sums are too few to hide the latency
// of an addition: nine tiles of six and of five rows of 49 take their place. With 32 registers a tile is a whole row of
// seven, and tiles across the ends of rows would save less than a tenth.
// CHECK-LABEL: func.func @conv
// CHECK-SAME:    rows = 6
// CHECK:         scf.for {{.*}} to %c512 step
// CHECK-COUNT-6:   arith.divui %{{.*}}, %c7
// CHECK:           scf.yield
// WIDE-LABEL:  func.func @conv
// WIDE-NOT:      arith.divui %{{.*}}, %c7
func.func @conv(%a: tensor<16x16x512xf32>, %b: tensor<32x3x3x512x16xf32>, %out: tensor<7x7x512xf32>) -> tensor<7x7x512xf32> {
  %zero = arith.constant 0.0 : f32
  %f = linalg.fill ins(%zero : f32) outs(%out : tensor<7x7x512xf32>) -> tensor<7x7x512xf32>
  %c = linalg.generic {
    indexing_maps = [affine_map<(h, w, n, y, x, k) -> (2 * h + y, 2 * w + x, k)>, affine_map<(h, w, n, y, x, k) -> (n floordiv 16, y, x, k, n mod 16)>, affine_map<(h, w, n, y, x, k) -> (h, w, n)>],
    iterator_types = ["parallel", "parallel", "parallel", "reduction", "reduction", "reduction"]
  } ins(%a, %b : tensor<16x16x512xf32>, tensor<32x3x3x512x16xf32>) outs(%f : tensor<7x7x512xf32>) {
  ^bb0(%x: f32, %y: f32, %acc: f32):
    %p = arith.mulf %x, %y : f32
    %s = arith.addf %acc, %p : f32
    linalg.yield %s : f32
  } -> tensor<7x7x512xf32>
  return %c : tensor<7x7x512xf32>
}

// Rows of a large product that lie apart are one dimension, of which six blocks, 132 rows at most, are copied side by
// side. The product reads the copy, whose rows are a line longer.
// CHECK-LABEL: func.func @apart
// CHECK-SAME:    pack = 1
// CHECK:         %[[COPY:.*]] = memref.alloca() {{.*}} : memref<132x272xf32>
// CHECK:         scf.for
// CHECK:           arith.divui %{{.*}}, %c28
// CHECK:           vector.store %{{.*}}, %[[COPY]]
// CHECK:         scf.for %{{.*}} to %c256 step %c1 iter_args
// CHECK-COUNT-6:   memref.load %[[COPY]]
// CHECK-NOT:       memref.load
// CHECK:           scf.yield
func.func @apart(%a: tensor<56x56x256xf32>, %b: tensor<32x256x16xf32>, %out: tensor<28x28x512xf32>) -> tensor<28x28x512xf32> {
  %zero = arith.constant 0.0 : f32
  %f = linalg.fill ins(%zero : f32) outs(%out : tensor<28x28x512xf32>) -> tensor<28x28x512xf32>
  %c = linalg.generic {
    indexing_maps = [affine_map<(h, w, n, k) -> (2 * h, 2 * w, k)>, affine_map<(h, w, n, k) -> (n floordiv 16, k, n mod 16)>, affine_map<(h, w, n, k) -> (h, w, n)>],
    iterator_types = ["parallel", "parallel", "parallel", "reduction"]
  } ins(%a, %b : tensor<56x56x256xf32>, tensor<32x256x16xf32>) outs(%f : tensor<28x28x512xf32>) {
  ^bb0(%x: f32, %y: f32, %acc: f32):
    %p = arith.mulf %x, %y : f32
    %s = arith.addf %acc, %p : f32
    linalg.yield %s : f32
  } -> tensor<28x28x512xf32>
  return %c : tensor<28x28x512xf32>
}
