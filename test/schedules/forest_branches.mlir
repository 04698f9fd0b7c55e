// RUN: neo-opt --neo-schedule=target=x86-64-v4 %s | FileCheck %s

// A small ensemble as code: an if where a child is a node, a select between two leaves. NaN goes left by `ule`.
// CHECK-LABEL: func.func @branches
// CHECK-SAME:    neo.schedule = "forest_branches"
// CHECK:         arith.cmpf ule, {{.*}} : f32
// CHECK:         scf.if
// CHECK:           arith.cmpf ole, {{.*}} : f32
// CHECK:           arith.select
// CHECK:         } else {
// CHECK:         arith.addf
// CHECK-NOT:     memref.load
func.func @branches(%x: tensor<1x4xf32>, %out: tensor<1xf32>) -> tensor<1xf32> {
  %y = "forest.branches"(%x, %out) {
    roots = dense<0> : tensor<1xi32>, features = dense<[1, 2]> : tensor<2xi32>, thresholds = dense<2.0> : tensor<2xf32>,
    left = dense<[1, -1]> : tensor<2xi32>, right = dense<[-2, -3]> : tensor<2xi32>, flags = dense<[1, 0]> : tensor<2xi8>,
    values = dense<[[1.0], [2.0], [3.0]]> : tensor<3x1xf32>, targets = dense<0> : tensor<1xi32>,
    base = dense<0.0> : tensor<1xf32>
  } : (tensor<1x4xf32>, tensor<1xf32>) -> tensor<1xf32>
  return %y : tensor<1xf32>
}
