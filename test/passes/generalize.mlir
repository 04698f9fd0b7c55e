// RUN: neo-opt --neo-generalize %s | FileCheck %s

// Named operations become generics; a fill stays.
// CHECK-LABEL: func.func @main
// CHECK: linalg.fill
// CHECK-NOT: linalg.conv
// CHECK: linalg.generic {{.*}} iterator_types = ["parallel", "parallel", "parallel", "parallel", "reduction", "reduction", "reduction"]
// CHECK: arith.mulf
// CHECK-NEXT: arith.addf
// CHECK-NOT: linalg.transpose
// CHECK: linalg.generic {{.*}} iterator_types = ["parallel", "parallel", "parallel", "parallel"]
// CHECK-NEXT: ^bb0(%[[IN:.*]]: f32, %{{.*}}: f32):
// CHECK-NEXT: linalg.yield %[[IN]]
func.func @main(%x: tensor<1x3x8x8xf32>, %w: tensor<4x3x3x3xf32>, %o: tensor<1x6x6x4xf32>) -> tensor<1x6x6x4xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<1x4x6x6xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<1x4x6x6xf32>) -> tensor<1x4x6x6xf32>
  %c = linalg.conv_2d_nchw_fchw {dilations = dense<1> : vector<2xi64>, strides = dense<1> : vector<2xi64>} ins(%x, %w : tensor<1x3x8x8xf32>, tensor<4x3x3x3xf32>) outs(%f : tensor<1x4x6x6xf32>) -> tensor<1x4x6x6xf32>
  %t = linalg.transpose ins(%c : tensor<1x4x6x6xf32>) outs(%o : tensor<1x6x6x4xf32>) permutation = [0, 2, 3, 1]
  return %t : tensor<1x6x6x4xf32>
}

// What is concatenated has its own extents.
// CHECK-LABEL: func.func @rolled
// CHECK-SAME: (%[[A:.*]]: tensor<2x4xf32>, %[[B:.*]]: tensor<6x4xf32>, %[[C:.*]]: tensor<?x4xf32>)
// CHECK: tensor.concat dim(0) %[[A]], %[[B]] : (tensor<2x4xf32>, tensor<6x4xf32>) -> tensor<8x4xf32>
// CHECK: tensor.concat dim(0) %{{.*}}, %[[C]] : (tensor<?x4xf32>, tensor<?x4xf32>) -> tensor<?x4xf32>
func.func @rolled(%a: tensor<2x4xf32>, %b: tensor<6x4xf32>, %c: tensor<?x4xf32>) -> (tensor<8x4xf32>, tensor<?x4xf32>) {
  %0 = tensor.cast %a : tensor<2x4xf32> to tensor<?x4xf32>
  %1 = tensor.cast %b : tensor<6x4xf32> to tensor<?x4xf32>
  %2 = tensor.concat dim(0) %0, %1 : (tensor<?x4xf32>, tensor<?x4xf32>) -> tensor<8x4xf32>
  %3 = tensor.concat dim(0) %0, %c : (tensor<?x4xf32>, tensor<?x4xf32>) -> tensor<?x4xf32>
  return %2, %3 : tensor<8x4xf32>, tensor<?x4xf32>
}

// What has no elements is not concatenated.
// CHECK-LABEL: func.func @empty
// CHECK-SAME: (%[[A:.*]]: tensor<8x4xf32>, %[[B:.*]]: tensor<0x4xf32>)
// CHECK: %[[BOTH:.*]] = tensor.concat dim(0) %[[A]], %[[A]] : (tensor<8x4xf32>, tensor<8x4xf32>) -> tensor<16x4xf32>
// CHECK-NEXT: return %[[A]], %[[BOTH]]
func.func @empty(%a: tensor<8x4xf32>, %b: tensor<0x4xf32>) -> (tensor<8x4xf32>, tensor<16x4xf32>) {
  %0 = tensor.cast %a : tensor<8x4xf32> to tensor<?x4xf32>
  %1 = tensor.cast %b : tensor<0x4xf32> to tensor<?x4xf32>
  %2 = tensor.concat dim(0) %0, %1 : (tensor<?x4xf32>, tensor<?x4xf32>) -> tensor<8x4xf32>
  %3 = tensor.concat dim(0) %a, %b, %a : (tensor<8x4xf32>, tensor<0x4xf32>, tensor<8x4xf32>) -> tensor<16x4xf32>
  return %2, %3 : tensor<8x4xf32>, tensor<16x4xf32>
}
