// RUN: neo-opt --neo-weights-to-globals %s | FileCheck %s

// A weight becomes an external global, read where the function starts; arguments of one name share one.
// CHECK: ml_program.global private @fc.weight(#{{.*}}) : tensor<4x2xf32>
// CHECK-NOT: ml_program.global
// CHECK-LABEL: func.func @main
// CHECK-SAME:    (%[[X:.*]]: tensor<1x4xf32> {neo.name = "x"}) -> (tensor<1x2xf32> {neo.name = "y"})
func.func @main(%w: tensor<4x2xf32> {neo.weight = "fc.weight"}, %x: tensor<1x4xf32> {neo.name = "x"},
                %same: tensor<4x2xf32> {neo.weight = "fc.weight"}, %unread: tensor<9xf32> {neo.weight = "unread"})
    -> (tensor<1x2xf32> {neo.name = "y"}) {
  // CHECK: %[[W:.*]] = ml_program.global_load_const @fc.weight : tensor<4x2xf32>
  %zero = arith.constant 0.0 : f32
  %empty = tensor.empty() : tensor<1x2xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<1x2xf32>) -> tensor<1x2xf32>
  // CHECK: %[[A:.*]] = linalg.matmul ins(%[[X]], %[[W]]
  // CHECK: linalg.matmul ins(%[[X]], %[[W]] {{.*}} outs(%[[A]]
  %0 = linalg.matmul ins(%x, %w : tensor<1x4xf32>, tensor<4x2xf32>) outs(%init : tensor<1x2xf32>) -> tensor<1x2xf32>
  %1 = linalg.matmul ins(%x, %same : tensor<1x4xf32>, tensor<4x2xf32>) outs(%0 : tensor<1x2xf32>) -> tensor<1x2xf32>
  return %1 : tensor<1x2xf32>
}
