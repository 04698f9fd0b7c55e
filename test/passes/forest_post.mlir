// RUN: neo-opt --neo-forest-post %s | FileCheck %s

// What follows the sum becomes linalg: neighbouring steps on numbers are one generic.
// CHECK-LABEL: func.func @numbers
// CHECK:         %[[RAW:.*]] = "forest.ensemble"{{.*}}post = []{{.*}}-> tensor<?xf32>
// CHECK:         linalg.generic {{.*}}ins(%[[RAW]]
// CHECK:           arith.divf
// CHECK:           math.exp
// CHECK-NOT:     linalg.generic
func.func @numbers(%x: tensor<?x4xf32>) -> tensor<?xf32> {
  %y = "forest.ensemble"(%x) {
    roots = dense<-1> : tensor<1xi32>, features = dense<> : tensor<0xi32>, thresholds = dense<> : tensor<0xf32>,
    left = dense<> : tensor<0xi32>, right = dense<> : tensor<0xi32>, flags = dense<> : tensor<0xi8>,
    values = dense<0.5> : tensor<1x1xf32>, targets = dense<0> : tensor<1xi32>,
    base = dense<0.0> : tensor<1xf32>, predicate = "lt", post = ["divide=2.0", "sigmoid=1.0"]
  } : (tensor<?x4xf32>) -> tensor<?xf32>
  return %y : tensor<?xf32>
}

// The raw numbers of three outputs, then the place of the largest: a vector.
// CHECK-LABEL: func.func @rows
// CHECK:         "forest.ensemble"{{.*}}post = []{{.*}}-> tensor<?x3xf64>
// CHECK:         iterator_types = ["parallel", "reduction"]
// CHECK:         arith.sitofp
func.func @rows(%x: tensor<?x4xf32>) -> tensor<?xf64> {
  %y = "forest.ensemble"(%x) {
    roots = dense<-1> : tensor<1xi32>, features = dense<> : tensor<0xi32>, thresholds = dense<> : tensor<0xf32>,
    left = dense<> : tensor<0xi32>, right = dense<> : tensor<0xi32>, flags = dense<> : tensor<0xi8>,
    values = dense<0.5> : tensor<1x3xf64>, targets = dense<0> : tensor<1xi32>,
    base = dense<0.0> : tensor<3xf64>, predicate = "lt", post = ["argmax"]
  } : (tensor<?x4xf32>) -> tensor<?xf64>
  return %y : tensor<?xf64>
}
