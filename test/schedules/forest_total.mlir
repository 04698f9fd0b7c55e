// RUN: neo-opt --neo-schedule=target=x86-64-v4 %s | FileCheck %s
// RUN: neo-opt --neo-lower-forest %s | FileCheck %s --check-prefix=PLAIN

// Two rows: a chain of additions each, in the order of the trees.
// CHECK-LABEL: func.func @total
// CHECK-SAME:    neo.schedule = "forest_total"
// CHECK:         scf.for
// CHECK:           scf.for {{.*}} iter_args({{.*}}, {{.*}}) -> (f32, f32)
// CHECK-COUNT-2:     arith.addf

// PLAIN-LABEL: func.func @total
// PLAIN-SAME:    neo.schedule = "scalar"
// PLAIN:         scf.for {{.*}} iter_args(%{{[a-z0-9]*}} = %{{[a-z0-9]*}}) -> (f32)
// PLAIN-COUNT-1:   arith.addf
func.func @total(%values: tensor<2x7xf32>, %classes: tensor<4xi32>, %base: tensor<3xf32>, %out: tensor<2x3xf32>)
    -> tensor<2x3xf32> {
  %y = "forest.total"(%values, %classes, %base, %out)
    : (tensor<2x7xf32>, tensor<4xi32>, tensor<3xf32>, tensor<2x3xf32>) -> tensor<2x3xf32>
  return %y : tensor<2x3xf32>
}
