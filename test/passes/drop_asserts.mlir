// RUN: neo-opt --neo-drop-asserts --canonicalize %s | FileCheck %s

// Assertions go, at any depth, and what was computed for them alone.
// CHECK-LABEL: func.func @reciprocal
func.func @reciprocal(%x: tensor<4xf32>, %ok: i1) -> tensor<4xf32> {
  // CHECK-NOT: cf.assert
  // CHECK-NOT: arith.cmpf
  // CHECK: arith.divf
  // CHECK-NOT: cf.assert
  cf.assert %ok, "mismatched extents"
  %zero = arith.constant 0.0 : f32
  %one = arith.constant 1.0 : f32
  %empty = tensor.empty() : tensor<4xf32>
  %0 = linalg.generic {indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>], iterator_types = ["parallel"]}
      ins(%x : tensor<4xf32>) outs(%empty : tensor<4xf32>) {
  ^bb0(%in: f32, %out: f32):
    %nonzero = arith.cmpf one, %in, %zero : f32
    cf.assert %nonzero, "division by zero"
    %y = arith.divf %one, %in : f32
    linalg.yield %y : f32
  } -> tensor<4xf32>
  return %0 : tensor<4xf32>
}
