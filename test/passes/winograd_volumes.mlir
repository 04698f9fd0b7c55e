// RUN: neo-opt --neo-winograd="target=x86-64-v4" --split-input-file %s | FileCheck %s
// RUN: neo-opt --neo-winograd="target=x86-64-v4 use=never" --split-input-file %s | FileCheck %s --check-prefix=NEVER

#x = affine_map<(t, h, v, k, e, a, b, c) -> (t + e, h + a, v + b, c)>
#w = affine_map<(t, h, v, k, e, a, b, c) -> (k, c, e, a, b)>
#y = affine_map<(t, h, v, k, e, a, b, c) -> (t, h, v, k)>

// A convolution over volumes is the sum of three over planes, of slices of a pad that holds whole tiles for all.
// CHECK-LABEL: func.func @main
// CHECK:         %[[PAD:.*]] = tensor.pad %{{.*}} low[1, 1, 1, 0] high[1, 3, 1, 0]
// CHECK:         tensor.extract_slice %[[PAD]][0, 0, 0, 0] [6, 18, 18, 64]
// CHECK:         tensor.extract_slice %{{.*}}[0, 0, 0, 0, 0] [64, 64, 1, 3, 3]
// CHECK:         linalg.generic {{.*}} outs(%{{.*}} : tensor<6x4x4x6x6x64xf32>)
// CHECK:         tensor.extract_slice %[[PAD]][1, 0, 0, 0] [6, 18, 18, 64]
// CHECK:         tensor.extract_slice %[[PAD]][2, 0, 0, 0] [6, 18, 18, 64]
// CHECK:         %[[SUM:.*]] = linalg.generic {{.*}} iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins({{.*}} : tensor<6x14x16x64xf32>, tensor<6x14x16x64xf32>)
// CHECK:         return %[[SUM]]
// NEVER-LABEL: func.func @main
// NEVER-COUNT-1: linalg.generic
// NEVER-NOT:     linalg.generic
ml_program.global private @w(#ml_program.extern) : tensor<64x64x3x3x3xf32>
func.func @main(%x: tensor<6x14x16x64xf32>) -> tensor<6x14x16x64xf32> {
  %w = ml_program.global_load_const @w : tensor<64x64x3x3x3xf32>
  %zero = arith.constant 0.0 : f32
  %pad = tensor.pad %x low[1, 1, 1, 0] high[1, 1, 1, 0] {
  ^bb0(%i: index, %j: index, %k: index, %l: index):
    tensor.yield %zero : f32
  } : tensor<6x14x16x64xf32> to tensor<8x16x18x64xf32>
  %e = tensor.empty() : tensor<6x14x16x64xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<6x14x16x64xf32>) -> tensor<6x14x16x64xf32>
  %y = linalg.generic {indexing_maps = [#x, #w, #y], iterator_types = ["parallel", "parallel", "parallel", "parallel", "reduction", "reduction", "reduction", "reduction"]} ins(%pad, %w : tensor<8x16x18x64xf32>, tensor<64x64x3x3x3xf32>) outs(%f : tensor<6x14x16x64xf32>) {
  ^bb0(%p: f32, %q: f32, %s: f32):
    %0 = arith.mulf %p, %q : f32
    %1 = arith.addf %s, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<6x14x16x64xf32>
  return %y : tensor<6x14x16x64xf32>
}

// -----

#x = affine_map<(t, h, v, k, e, a, b, c) -> (t + e, h * 2 + a, v * 2 + b, c)>
#w = affine_map<(t, h, v, k, e, a, b, c) -> (k, c, e, a, b)>
#y = affine_map<(t, h, v, k, e, a, b, c) -> (t, h, v, k)>

// NEVER-LABEL: func.func @strided
// Strides stay as they are.
// CHECK-LABEL: func.func @strided
// CHECK-COUNT-1: linalg.generic
// CHECK-NOT:     linalg.generic
ml_program.global private @w(#ml_program.extern) : tensor<64x64x3x3x3xf32>
func.func @strided(%x: tensor<8x33x33x64xf32>) -> tensor<6x16x16x64xf32> {
  %w = ml_program.global_load_const @w : tensor<64x64x3x3x3xf32>
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<6x16x16x64xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<6x16x16x64xf32>) -> tensor<6x16x16x64xf32>
  %y = linalg.generic {indexing_maps = [#x, #w, #y], iterator_types = ["parallel", "parallel", "parallel", "parallel", "reduction", "reduction", "reduction", "reduction"]} ins(%x, %w : tensor<8x33x33x64xf32>, tensor<64x64x3x3x3xf32>) outs(%f : tensor<6x16x16x64xf32>) {
  ^bb0(%p: f32, %q: f32, %s: f32):
    %0 = arith.mulf %p, %q : f32
    %1 = arith.addf %s, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<6x16x16x64xf32>
  return %y : tensor<6x16x16x64xf32>
}
