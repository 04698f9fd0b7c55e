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
