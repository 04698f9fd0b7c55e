// RUN: neo-opt %s --neo-schedule=target=x86-64-v3 | FileCheck %s

// A kernel whose results have no elements writes nothing; one that reads none is left to loops.
// CHECK-LABEL: func.func @nothing
// CHECK-SAME: neo.schedule = "affine"
// CHECK-NEXT: return %arg1
func.func @nothing(%a: tensor<0x4xf32>, %out: tensor<0x4xf32>) -> tensor<0x4xf32> {
  %0 = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>], iterator_types = ["parallel", "parallel"]} ins(%a : tensor<0x4xf32>) outs(%out : tensor<0x4xf32>) {
  ^bb0(%x: f32, %y: f32):
    %1 = arith.addf %x, %x : f32
    linalg.yield %1 : f32
  } -> tensor<0x4xf32>
  return %0 : tensor<0x4xf32>
}

// CHECK-LABEL: func.func @sum_of_nothing
// CHECK-SAME: neo.schedule = "affine"
// CHECK: linalg.generic
func.func @sum_of_nothing(%a: tensor<0x4xf32>, %out: tensor<4xf32>) -> tensor<4xf32> {
  %zero = arith.constant 0.0 : f32
  %fill = linalg.fill ins(%zero : f32) outs(%out : tensor<4xf32>) -> tensor<4xf32>
  %0 = linalg.generic {indexing_maps = [affine_map<(i, j) -> (j, i)>, affine_map<(i, j) -> (i)>], iterator_types = ["parallel", "reduction"]} ins(%a : tensor<0x4xf32>) outs(%fill : tensor<4xf32>) {
  ^bb0(%x: f32, %y: f32):
    %1 = arith.addf %x, %y : f32
    linalg.yield %1 : f32
  } -> tensor<4xf32>
  return %0 : tensor<4xf32>
}
