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

// Where a lane is at a categorical node, three more gathers find the bits of its set.
// CHECK-LABEL: func.func @categorical
// CHECK-SAME:    neo.schedule = "forest_gather"
// CHECK:         } do {
// CHECK:           scf.if {{.*}} -> (vector<32xi1>)
// CHECK-COUNT-3:     vector.gather
// CHECK:             arith.trunci {{.*}} : vector<32xi32> to vector<32xi1>

// Linear leaves: as many terms as the lane with most has, the largest of values instead of their sum.
// CHECK-LABEL: func.func @linear
// CHECK-SAME:    neo.schedule = "forest_gather"
// CHECK:         vector.reduction <maxsi>
// CHECK:         scf.for {{.*}} -> (vector<32xf32>, vector<32xi1>)
// CHECK-COUNT-3:   vector.gather
// CHECK:         arith.maximumf
func.func @score(%x: tensor<?x4xf32>, %i: tensor<1xi32>, %f: tensor<1xf32>, %children: tensor<1x2xi32>,
                 %values: tensor<2x1xf32>, %classes: tensor<2xi32>, %out: tensor<?xf32>) -> tensor<?xf32> {
  %y = "forest.score"(%x, %i, %i, %f, %children, %values, %classes, %f, %i, %i, %i, %i, %f, %f, %out)
    {categorical = false, linear = false, depth = 1 : i64, aggregate = "sum"}
    : (tensor<?x4xf32>, tensor<1xi32>, tensor<1xi32>, tensor<1xf32>, tensor<1x2xi32>, tensor<2x1xf32>, tensor<2xi32>,
       tensor<1xf32>, tensor<1xi32>, tensor<1xi32>, tensor<1xi32>, tensor<1xi32>, tensor<1xf32>, tensor<1xf32>,
       tensor<?xf32>) -> tensor<?xf32>
  return %y : tensor<?xf32>
}

func.func @categorical(%x: tensor<?x4xf32>, %i: tensor<1xi32>, %f: tensor<1xf32>, %children: tensor<1x2xi32>,
                       %values: tensor<2x1xf32>, %classes: tensor<2xi32>, %out: tensor<?xf32>) -> tensor<?xf32> {
  %y = "forest.score"(%x, %i, %i, %f, %children, %values, %classes, %f, %i, %i, %i, %i, %f, %f, %out)
    {categorical = true, linear = false, depth = 1 : i64, aggregate = "sum"}
    : (tensor<?x4xf32>, tensor<1xi32>, tensor<1xi32>, tensor<1xf32>, tensor<1x2xi32>, tensor<2x1xf32>, tensor<2xi32>,
       tensor<1xf32>, tensor<1xi32>, tensor<1xi32>, tensor<1xi32>, tensor<1xi32>, tensor<1xf32>, tensor<1xf32>,
       tensor<?xf32>) -> tensor<?xf32>
  return %y : tensor<?xf32>
}

func.func @linear(%x: tensor<?x4xf32>, %i: tensor<1xi32>, %f: tensor<1xf32>, %children: tensor<1x2xi32>,
                  %values: tensor<2x1xf32>, %classes: tensor<2xi32>, %out: tensor<?xf32>) -> tensor<?xf32> {
  %y = "forest.score"(%x, %i, %i, %f, %children, %values, %classes, %f, %i, %i, %i, %i, %f, %f, %out)
    {categorical = false, linear = true, depth = 1 : i64, aggregate = "max"}
    : (tensor<?x4xf32>, tensor<1xi32>, tensor<1xi32>, tensor<1xf32>, tensor<1x2xi32>, tensor<2x1xf32>, tensor<2xi32>,
       tensor<1xf32>, tensor<1xi32>, tensor<1xi32>, tensor<1xi32>, tensor<1xi32>, tensor<1xf32>, tensor<1xf32>,
       tensor<?xf32>) -> tensor<?xf32>
  return %y : tensor<?xf32>
}
