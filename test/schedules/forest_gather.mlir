// RUN: neo-opt --neo-schedule=target=x86-64-v4 %s | FileCheck %s

// Rows in lanes, two vectors at once: everything a lane reads on its way is gathered, until no lane is at a node.
// CHECK-LABEL: func.func @score
// CHECK-SAME:    neo.schedule = "forest_gather"
// CHECK:         scf.while
// CHECK:           vector.reduction <or>
// CHECK:         } do {
// CHECK-COUNT-4:   vector.gather
// CHECK:           arith.select {{.*}} : vector<32xi1>, vector<32xi32>
// CHECK:         vector.gather {{.*}} into vector<32xf32>

// A categorical node keeps the loops.
// CHECK-LABEL: func.func @categorical
// CHECK-SAME:    neo.schedule = "affine"
func.func @score(%x: tensor<?x4xf32>, %i: tensor<1xi32>, %f: tensor<1xf32>, %children: tensor<1x2xi32>,
                 %values: tensor<2x1xf32>, %classes: tensor<2xi32>, %out: tensor<?xf32>) -> tensor<?xf32> {
  %y = "forest.score"(%x, %i, %i, %f, %children, %values, %classes, %f, %i, %i, %i, %i, %f, %f, %out)
    {categorical = false, linear = false, depth = 1 : i64}
    : (tensor<?x4xf32>, tensor<1xi32>, tensor<1xi32>, tensor<1xf32>, tensor<1x2xi32>, tensor<2x1xf32>, tensor<2xi32>,
       tensor<1xf32>, tensor<1xi32>, tensor<1xi32>, tensor<1xi32>, tensor<1xi32>, tensor<1xf32>, tensor<1xf32>,
       tensor<?xf32>) -> tensor<?xf32>
  return %y : tensor<?xf32>
}

func.func @categorical(%x: tensor<?x4xf32>, %i: tensor<1xi32>, %f: tensor<1xf32>, %children: tensor<1x2xi32>,
                       %values: tensor<2x1xf32>, %classes: tensor<2xi32>, %out: tensor<?xf32>) -> tensor<?xf32> {
  %y = "forest.score"(%x, %i, %i, %f, %children, %values, %classes, %f, %i, %i, %i, %i, %f, %f, %out)
    {categorical = true, linear = false, depth = 1 : i64}
    : (tensor<?x4xf32>, tensor<1xi32>, tensor<1xi32>, tensor<1xf32>, tensor<1x2xi32>, tensor<2x1xf32>, tensor<2xi32>,
       tensor<1xf32>, tensor<1xi32>, tensor<1xi32>, tensor<1xi32>, tensor<1xi32>, tensor<1xf32>, tensor<1xf32>,
       tensor<?xf32>) -> tensor<?xf32>
  return %y : tensor<?xf32>
}
