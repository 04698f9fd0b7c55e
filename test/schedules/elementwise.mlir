// RUN: neo-opt --neo-schedule=target=x86-64-v3 %s | FileCheck %s

// Dimensions that every operand walks together are one; what is left behind the last full vector is masked.
// CHECK-LABEL: func.func @negate
// CHECK-SAME:    neo.schedule = "elementwise"
// CHECK:       memref.collapse_shape %{{.*}} {{\[}}[0, 1, 2]] : memref<5x7x111xf32> into memref<3885xf32>
// CHECK:       scf.for
// CHECK:         vector.load %{{.*}} : memref<3885xf32>, vector<8xf32>
// CHECK:         arith.negf %{{.*}} : vector<8xf32>
func.func @negate(%a: tensor<5x7x111xf32>, %out: tensor<5x7x111xf32>) -> tensor<5x7x111xf32> {
  %r = linalg.generic {
    indexing_maps = [affine_map<(i, j, k) -> (i, j, k)>, affine_map<(i, j, k) -> (i, j, k)>],
    iterator_types = ["parallel", "parallel", "parallel"]
  } ins(%a : tensor<5x7x111xf32>) outs(%out : tensor<5x7x111xf32>) {
  ^bb0(%x: f32, %o: f32):
    %y = arith.negf %x : f32
    linalg.yield %y : f32
  } -> tensor<5x7x111xf32>
  return %r : tensor<5x7x111xf32>
}

// The tail of 5 lanes on a machine with masks.
// CHECK-LABEL: func.func @tail
// CHECK:       vector.create_mask %c5
// CHECK:       vector.maskedload
// CHECK:       vector.maskedstore
func.func @tail(%a: tensor<37xf32>, %out: tensor<37xf32>) -> tensor<37xf32> {
  %r = linalg.generic {indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>], iterator_types = ["parallel"]}
      ins(%a : tensor<37xf32>) outs(%out : tensor<37xf32>) {
  ^bb0(%x: f32, %o: f32):
    %y = arith.negf %x : f32
    linalg.yield %y : f32
  } -> tensor<37xf32>
  return %r : tensor<37xf32>
}

// A constant a column keeps rows apart from columns.
// CHECK-LABEL: func.func @columns
// CHECK-NOT:   memref.collapse_shape
// CHECK:       vector.load %{{.*}}[%c0] : memref<12xf32>, vector<8xf32>
// CHECK-NOT:   memref.collapse_shape
// CHECK:       return
func.func @columns(%a: tensor<5x12xf32>, %out: tensor<5x12xf32>) -> tensor<5x12xf32> {
  %c = arith.constant dense<[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0]> : tensor<12xf32>
  %r = linalg.generic {
    indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (j)>, affine_map<(i, j) -> (i, j)>],
    iterator_types = ["parallel", "parallel"]
  } ins(%a, %c : tensor<5x12xf32>, tensor<12xf32>) outs(%out : tensor<5x12xf32>) {
  ^bb0(%x: f32, %y: f32, %o: f32):
    %z = arith.addf %x, %y : f32
    linalg.yield %z : f32
  } -> tensor<5x12xf32>
  return %r : tensor<5x12xf32>
}

// Vectors of an elementary function are computed side by side.
// CHECK-LABEL: func.func @exponential
// CHECK:         vector.load %{{.*}} : memref<4096xf32>, vector<32xf32>
// CHECK:         math.exp %{{.*}} : vector<32xf32>
func.func @exponential(%a: tensor<4096xf32>, %out: tensor<4096xf32>) -> tensor<4096xf32> {
  %r = linalg.generic {indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>], iterator_types = ["parallel"]}
      ins(%a : tensor<4096xf32>) outs(%out : tensor<4096xf32>) {
  ^bb0(%x: f32, %o: f32):
    %y = math.exp %x : f32
    linalg.yield %y : f32
  } -> tensor<4096xf32>
  return %r : tensor<4096xf32>
}
