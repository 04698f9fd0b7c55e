// RUN: neo-opt --neo-pack-forest=strategy=loops %s | FileCheck %s

// The tables of nodes become globals. x < 2 is x <= the float before 2; NaN goes left, which is bit 27 beside feature 1.
// CHECK-DAG:   ml_program.global private @forest_0_splits(dense<134217729> : tensor<1xi32>)
// CHECK-DAG:   ml_program.global private @forest_0_thresholds(dense<1.99999988> : tensor<1xf32>)
// CHECK-LABEL: func.func @stump
// CHECK:         %[[OUT:.*]] = tensor.empty
// CHECK:         "forest.score"({{.*}}, %[[OUT]]) {aggregate = "sum", categorical = false, depth = 1 : i64, linear = false}
func.func @stump(%x: tensor<?x4xf32>) -> tensor<?xf32> {
  %y = "forest.ensemble"(%x) {
    roots = dense<0> : tensor<1xi32>, features = dense<1> : tensor<1xi32>, thresholds = dense<2.0> : tensor<1xf32>,
    left = dense<-1> : tensor<1xi32>, right = dense<-2> : tensor<1xi32>, flags = dense<1> : tensor<1xi8>,
    values = dense<[[0.5], [-0.5]]> : tensor<2x1xf32>, targets = dense<0> : tensor<1xi32>,
    base = dense<0.0> : tensor<1xf32>, predicate = "lt", post = []
  } : (tensor<?x4xf32>) -> tensor<?xf32>
  return %y : tensor<?xf32>
}
