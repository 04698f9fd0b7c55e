// RUN: neo-opt --neo-lower-forest %s | FileCheck %s

// A kernel that no schedule took becomes loops: rows, trees, and down the nodes until a number is negative.
// CHECK-LABEL: func.func @score
// CHECK-SAME:    neo.schedule = "scalar"
// CHECK:         scf.forall
// CHECK:           scf.for
// CHECK:             scf.while
// CHECK:               arith.cmpi sge
// CHECK:               arith.cmpf ole
// CHECK:             arith.addf
// CHECK:           memref.store
func.func @score(%x: tensor<?x4xf32>, %i: tensor<1xi32>, %f: tensor<1xf32>, %children: tensor<1x2xi32>,
                 %values: tensor<2x1xf32>, %classes: tensor<2xi32>, %out: tensor<?xf32>) -> tensor<?xf32> {
  %y = "forest.score"(%x, %i, %i, %f, %children, %values, %classes, %f, %i, %i, %i, %i, %f, %f, %out)
    {categorical = false, linear = false, depth = 1 : i64, aggregate = "sum"}
    : (tensor<?x4xf32>, tensor<1xi32>, tensor<1xi32>, tensor<1xf32>, tensor<1x2xi32>, tensor<2x1xf32>, tensor<2xi32>,
       tensor<1xf32>, tensor<1xi32>, tensor<1xi32>, tensor<1xi32>, tensor<1xi32>, tensor<1xf32>, tensor<1xf32>,
       tensor<?xf32>) -> tensor<?xf32>
  return %y : tensor<?xf32>
}
