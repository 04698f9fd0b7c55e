// RUN: neo-opt --neo-form-kernels %s | FileCheck %s

// A contraction takes its epilogue; the kernel writes to the destination that the host gives.
// CHECK-LABEL: func.func @main
// CHECK-SAME:    (%[[X:.*]]: tensor<8x64xf32>
// CHECK:         %[[W:.*]] = ml_program.global_load_const @w
// CHECK:         %[[OUT:.*]] = tensor.empty() : tensor<8x32xf32>
// CHECK:         %[[Y:.*]] = call @[[KERNEL:contraction_.*]](%[[X]], %[[W]], %[[OUT]])
// CHECK-NEXT:    return %[[Y]]
// CHECK:       module attributes {neo.kernel}
// CHECK-NEXT:    func.func @[[KERNEL]](%{{.*}}, %{{.*}}, %[[DEST:.*]]: tensor<8x32xf32>) -> tensor<8x32xf32>
// CHECK:           linalg.fill
// CHECK:           arith.mulf
// CHECK:           linalg.generic {{.*}} outs(%[[DEST]]
// CHECK:             arith.maximumf
#id = affine_map<(m, n) -> (m, n)>
ml_program.global private @w(#ml_program.extern) : tensor<64x32xf32>
func.func @main(%x: tensor<8x64xf32> {neo.name = "x"}) -> (tensor<8x32xf32> {neo.name = "y"}) {
  %w = ml_program.global_load_const @w : tensor<64x32xf32>
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<8x32xf32>
  %init = linalg.fill ins(%zero : f32) outs(%e : tensor<8x32xf32>) -> tensor<8x32xf32>
  %product = linalg.generic {
      indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (k, n)>, affine_map<(m, n, k) -> (m, n)>],
      iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%x, %w : tensor<8x64xf32>, tensor<64x32xf32>) outs(%init : tensor<8x32xf32>) {
  ^bb0(%a: f32, %b: f32, %acc: f32):
    %0 = arith.mulf %a, %b : f32
    %1 = arith.addf %acc, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<8x32xf32>
  %relu = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%product : tensor<8x32xf32>) outs(%e : tensor<8x32xf32>) {
  ^bb0(%a: f32, %acc: f32):
    %0 = arith.maximumf %a, %zero : f32
    linalg.yield %0 : f32
  } -> tensor<8x32xf32>
  return %relu : tensor<8x32xf32>
}
