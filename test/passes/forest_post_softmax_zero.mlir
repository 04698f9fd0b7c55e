// RUN: neo-opt --neo-forest-post %s | FileCheck %s

// Powers of what is not near zero are counted; the rest keeps its share of them.
// CHECK-LABEL: func.func @softmax_zero
// CHECK:         "forest.ensemble"{{.*}}post = []
// CHECK:         arith.maximumf
// CHECK:         %{{.*}}:2 = linalg.generic
// CHECK:           arith.cmpf ogt
// CHECK:           math.exp
// CHECK:         arith.addf
// CHECK:         arith.divf
func.func @softmax_zero(%x: tensor<?x4xf32>) -> tensor<?x2xf32> {
  %y = "forest.ensemble"(%x) {
    roots = dense<[-1, -2]> : tensor<2xi32>, features = dense<> : tensor<0xi32>, thresholds = dense<> : tensor<0xf32>,
    left = dense<> : tensor<0xi32>, right = dense<> : tensor<0xi32>, flags = dense<> : tensor<0xi8>,
    values = dense<[[0.5], [-0.5]]> : tensor<2x1xf32>, targets = dense<[0, 1]> : tensor<2xi32>,
    base = dense<0.0> : tensor<2xf32>, predicate = "le", post = ["softmax_zero"]
  } : (tensor<?x4xf32>) -> tensor<?x2xf32>
  return %y : tensor<?x2xf32>
}
