// RUN: neo-opt --neo-lower-forest --verify-diagnostics %s

// A kernel is one operation, whose result it gives.
// expected-error@below {{neo-lower-forest works on kernels of one operation, from neo-form-kernels}}
func.func @more(%x: tensor<1x4xf32>, %out: tensor<1xf32>) -> tensor<1xf32> {
  %y = "forest.branches"(%x, %out) {
    roots = dense<-1> : tensor<1xi32>, features = dense<> : tensor<0xi32>, thresholds = dense<> : tensor<0xf32>,
    left = dense<> : tensor<0xi32>, right = dense<> : tensor<0xi32>, flags = dense<> : tensor<0xi8>,
    values = dense<1.0> : tensor<1x1xf32>, targets = dense<0> : tensor<1xi32>, base = dense<0.0> : tensor<1xf32>
  } : (tensor<1x4xf32>, tensor<1xf32>) -> tensor<1xf32>
  %z = arith.negf %y : tensor<1xf32>
  return %z : tensor<1xf32>
}
