// RUN: neo-opt --neo-form-kernels %s | FileCheck %s

// The extents of a dynamic result are computed on the host, from those of the inputs.
// CHECK-LABEL: func.func @main
// CHECK-SAME:    (%[[X:.*]]: tensor<?x4xf32>)
// CHECK:         %[[D:.*]] = tensor.dim %[[X]]
// CHECK:         %[[N:.*]] = affine.apply {{.*}}%[[D]]
// CHECK:         %[[OUT:.*]] = tensor.empty(%[[N]]) : tensor<?x4xf32>
// CHECK:         call @other_{{.*}}(%[[X]], %[[OUT]])
func.func @main(%x: tensor<?x4xf32>) -> tensor<?x4xf32> {
  %zero = arith.constant 0.0 : f32
  %y = tensor.pad %x low[1, 0] high[1, 0] {
  ^bb0(%i: index, %j: index):
    tensor.yield %zero : f32
  } : tensor<?x4xf32> to tensor<?x4xf32>
  return %y : tensor<?x4xf32>
}
