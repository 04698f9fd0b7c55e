// RUN: neo-opt --neo-join-groups=target=x86-64-v4 --canonicalize %s | FileCheck %s
// RUN: neo-opt --neo-join-groups=target=x86-64-v2 --canonicalize %s | FileCheck %s --check-prefix=V2

#x = affine_map<(h, w, g, n, a, b, c) -> (h + a, w + b, g, c)>
#w = affine_map<(h, w, g, n, a, b, c) -> (g, n, c, a, b)>
#y = affine_map<(h, w, g, n, a, b, c) -> (h, w, g, n)>

// Groups of eight channels, of which two fill a vector of 512 bits: a depthwise convolution between reshapes that
// undo others. A vector of 128 bits is too short.
// CHECK-DAG: #[[X:.*]] = affine_map<(d0, d1, d2, d3, d4, d5) -> (d0 + d3, d1 + d4, (d2 floordiv 8) * 8 + d5)>
// CHECK-DAG: #[[W:.*]] = affine_map<(d0, d1, d2, d3, d4, d5) -> (d2, d5, d3, d4)>
// CHECK-DAG: #[[Y:.*]] = affine_map<(d0, d1, d2, d3, d4, d5) -> (d0, d1, d2)>
// CHECK-LABEL: func.func @main
// CHECK-NOT: shape
// CHECK: linalg.generic {indexing_maps = [#[[X]], #[[W]], #[[Y]]]
// CHECK-SAME: outs(%{{.*}} : tensor<5x5x32xf32>)
// CHECK-NOT: tensor.collapse_shape
// V2-LABEL: func.func @main
// V2: linalg.generic {{.*}} outs(%{{.*}} : tensor<5x5x4x8xf32>)
ml_program.global private @weight(#ml_program.extern) : tensor<32x8x3x3xf32>
func.func @main(%x: tensor<7x7x32xf32>) -> tensor<5x5x32xf32> {
  %weight = ml_program.global_load_const @weight : tensor<32x8x3x3xf32>
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<5x5x4x8xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<5x5x4x8xf32>) -> tensor<5x5x4x8xf32>
  %wide = tensor.expand_shape %x [[0], [1], [2, 3]] output_shape [7, 7, 4, 8] : tensor<7x7x32xf32> into tensor<7x7x4x8xf32>
  %filters = tensor.expand_shape %weight [[0, 1], [2], [3], [4]] output_shape [4, 8, 8, 3, 3] : tensor<32x8x3x3xf32> into tensor<4x8x8x3x3xf32>
  %y = linalg.generic {indexing_maps = [#x, #w, #y], iterator_types = ["parallel", "parallel", "parallel", "parallel", "reduction", "reduction", "reduction"]} ins(%wide, %filters : tensor<7x7x4x8xf32>, tensor<4x8x8x3x3xf32>) outs(%f : tensor<5x5x4x8xf32>) {
  ^bb0(%p: f32, %q: f32, %s: f32):
    %0 = arith.mulf %p, %q : f32
    %1 = arith.addf %s, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<5x5x4x8xf32>
  %flat = tensor.collapse_shape %y [[0], [1], [2, 3]] : tensor<5x5x4x8xf32> into tensor<5x5x32xf32>
  return %flat : tensor<5x5x32xf32>
}
