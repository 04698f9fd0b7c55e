// RUN: neo-opt %s --verify-roundtrip | neo-opt | FileCheck %s
// RUN: neo-opt %s --emit-bytecode | neo-opt - | FileCheck %s

// CHECK-LABEL: func.func @stump
// CHECK:         "forest.ensemble"(%{{.*}}) {{.*}}post = ["sigmoid=1.0"], predicate = "lt"
// CHECK-SAME:    (tensor<?x4xf32>) -> tensor<?xf32>
func.func @stump(%x: tensor<?x4xf32>) -> tensor<?xf32> {
  %y = "forest.ensemble"(%x) {
    roots = dense<0> : tensor<1xi32>, features = dense<1> : tensor<1xi32>, thresholds = dense<2.0> : tensor<1xf32>,
    left = dense<-1> : tensor<1xi32>, right = dense<-2> : tensor<1xi32>, flags = dense<1> : tensor<1xi8>,
    values = dense<[[0.5], [-0.5]]> : tensor<2x1xf32>, targets = dense<0> : tensor<1xi32>,
    base = dense<0.0> : tensor<1xf32>, predicate = "lt", post = ["sigmoid=1.0"]
  } : (tensor<?x4xf32>) -> tensor<?xf32>
  return %y : tensor<?xf32>
}

// Two trees for two outputs, one a single leaf, the other with a categorical node; doubles.
// CHECK-LABEL: func.func @two
// CHECK:         set_begin = dense<[0, 1]>
// CHECK-SAME:    (tensor<8x4xf64>) -> tensor<8x2xf64>
func.func @two(%x: tensor<8x4xf64>) -> tensor<8x2xf64> {
  %y = "forest.ensemble"(%x) {
    roots = dense<[-1, 0]> : tensor<2xi32>, features = dense<3> : tensor<1xi32>, thresholds = dense<0.0> : tensor<1xf64>,
    left = dense<-2> : tensor<1xi32>, right = dense<-3> : tensor<1xi32>, flags = dense<4> : tensor<1xi8>,
    values = dense<[[1.0], [2.0], [3.0]]> : tensor<3x1xf64>, targets = dense<[0, 1]> : tensor<2xi32>,
    base = dense<[0.0, 1.0]> : tensor<2xf64>, predicate = "le", post = [],
    sets = dense<5> : tensor<1xi32>, set_begin = dense<[0, 1]> : tensor<2xi32>
  } : (tensor<8x4xf64>) -> tensor<8x2xf64>
  return %y : tensor<8x2xf64>
}
