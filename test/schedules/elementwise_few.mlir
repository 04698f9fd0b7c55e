// RUN: neo-opt --neo-schedule="target=x86-64-v4" %s | FileCheck %s

// Three planes become points of three: vectors of each, two shuffles for every vector of points; what is left of the
// planes goes point by point.
// CHECK-LABEL: func.func @points
// CHECK:         %[[FLAT:.*]] = memref.collapse_shape {{.*}} into memref<3003xf32>
// CHECK:         scf.for %[[I:.*]] = {{.*}} step %c16
// CHECK-COUNT-3:   vector.load {{.*}} vector<16xf32>
// CHECK:           %[[TWO:.*]] = vector.shuffle {{.*}} [0, 16, 0, 1, 17, 1, 2, 18, 2, 3, 19, 3, 4, 20, 4, 5]
// CHECK-NEXT:      %[[FIRST:.*]] = vector.shuffle %[[TWO]], {{.*}} [0, 1, 16, 3, 4, 17, 6, 7, 18, 9, 10, 19, 12, 13, 20, 15]
// CHECK-COUNT-4:   vector.shuffle
// CHECK:           %[[AT:.*]] = arith.muli %[[I]], %c3
// CHECK-NEXT:      vector.store %[[FIRST]], %[[FLAT]][%[[AT]]]
// CHECK-COUNT-2:   vector.store {{.*}} %[[FLAT]]
// CHECK:         scf.for {{.*}} step %c1
func.func @points(%x: tensor<3x1001xf32>, %out: tensor<1001x3xf32>) -> tensor<1001x3xf32> {
  %r = linalg.generic {indexing_maps = [affine_map<(p, c) -> (c, p)>, affine_map<(p, c) -> (p, c)>],
      iterator_types = ["parallel", "parallel"]} ins(%x : tensor<3x1001xf32>) outs(%out : tensor<1001x3xf32>) {
  ^bb0(%a: f32, %o: f32):
    linalg.yield %a : f32
  } -> tensor<1001x3xf32>
  return %r : tensor<1001x3xf32>
}

// An operand that lies as the result does would be read lane by lane.
// CHECK-LABEL: func.func @both
// CHECK-NOT:     vector.shuffle {{.*}} [0, 16, 0, 1, 17
func.func @both(%x: tensor<3x1001xf32>, %y: tensor<1001x3xf32>, %out: tensor<1001x3xf32>) -> tensor<1001x3xf32> {
  %r = linalg.generic {indexing_maps = [affine_map<(p, c) -> (c, p)>, affine_map<(p, c) -> (p, c)>,
      affine_map<(p, c) -> (p, c)>], iterator_types = ["parallel", "parallel"]}
      ins(%x, %y : tensor<3x1001xf32>, tensor<1001x3xf32>) outs(%out : tensor<1001x3xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %s = arith.addf %a, %b : f32
    linalg.yield %s : f32
  } -> tensor<1001x3xf32>
  return %r : tensor<1001x3xf32>
}
