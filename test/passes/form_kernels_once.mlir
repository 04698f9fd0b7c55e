// RUN: neo-opt --neo-form-kernels %s | FileCheck %s

// Equal kernels are one; a result that is an input is copied by a kernel.
// CHECK:         %[[A:.*]] = call @[[EXP:elementwise_.*]](%
// CHECK:         call @[[EXP]](%[[A]],
// CHECK:         call @[[COPY:elementwise_.*]](%
// CHECK-COUNT-2: module attributes {neo.kernel}
// CHECK-NOT:     module attributes {neo.kernel}
#id = affine_map<(i) -> (i)>
func.func @main(%x: tensor<32xf32>) -> (tensor<32xf32>, tensor<32xf32>, tensor<32xf32>) {
  %e = tensor.empty() : tensor<32xf32>
  %y = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel"]} ins(%x : tensor<32xf32>) outs(%e : tensor<32xf32>) {
  ^bb0(%a: f32, %acc: f32):
    %0 = math.exp %a : f32
    linalg.yield %0 : f32
  } -> tensor<32xf32>
  %z = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel"]} ins(%y : tensor<32xf32>) outs(%e : tensor<32xf32>) {
  ^bb0(%a: f32, %acc: f32):
    %0 = math.exp %a : f32
    linalg.yield %0 : f32
  } -> tensor<32xf32>
  return %y, %z, %x : tensor<32xf32>, tensor<32xf32>, tensor<32xf32>
}
