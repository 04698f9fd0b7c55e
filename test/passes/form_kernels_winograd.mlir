// RUN: neo-opt --pass-pipeline="builtin.module(neo-winograd{use=2 target=x86-64-v4},neo-form-kernels{borders=true})" --split-input-file %s | FileCheck %s

// The transforms, the product between them, what follows and the next one's border are one kernel; filters are another.
// CHECK-LABEL: func.func @main
// CHECK:         call @winograd_{{.*}} -> tensor<10x10x32xf32>
// CHECK-NEXT:    return
#x = affine_map<(h, v, k, a, b, c) -> (h + a, v + b, c)>
#w = affine_map<(h, v, k, a, b, c) -> (k, c, a, b)>
#y = affine_map<(h, v, k, a, b, c) -> (h, v, k)>
#id = affine_map<(h, v, k) -> (h, v, k)>
ml_program.global private @w(#ml_program.extern) : tensor<32x16x3x3xf32>
func.func @main(%x: tensor<10x10x16xf32>) -> tensor<10x10x32xf32> {
  %zero = arith.constant 0.0 : f32
  %w = ml_program.global_load_const @w : tensor<32x16x3x3xf32>
  %e = tensor.empty() : tensor<8x8x32xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<8x8x32xf32>) -> tensor<8x8x32xf32>
  %r = linalg.generic {indexing_maps = [#x, #w, #y], iterator_types = ["parallel", "parallel", "parallel", "reduction", "reduction", "reduction"]}
      ins(%x, %w : tensor<10x10x16xf32>, tensor<32x16x3x3xf32>) outs(%f : tensor<8x8x32xf32>) {
  ^bb0(%p0: f32, %p1: f32, %acc: f32):
    %0 = arith.mulf %p0, %p1 : f32
    %1 = arith.addf %acc, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<8x8x32xf32>
  %relu = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%r : tensor<8x8x32xf32>) outs(%e : tensor<8x8x32xf32>) {
  ^bb0(%a: f32, %o: f32):
    %0 = arith.maximumf %a, %zero : f32
    linalg.yield %0 : f32
  } -> tensor<8x8x32xf32>
  %p = tensor.pad %relu low[1, 1, 0] high[1, 1, 0] {
  ^bb0(%i: index, %j: index, %k: index):
    tensor.yield %zero : f32
  } : tensor<8x8x32xf32> to tensor<10x10x32xf32>
  return %p : tensor<10x10x32xf32>
}

// -----

// Zeros around an argument are in no memory: the kernel takes the argument itself.
// CHECK-LABEL: func.func @main
// CHECK:         call @winograd_{{.*}} : (tensor<8x8x16xf32>, tensor<4x4x16x32xf32>, tensor<8x8x32xf32>)
// CHECK-NEXT:    return
#x = affine_map<(h, v, k, a, b, c) -> (h + a, v + b, c)>
#w = affine_map<(h, v, k, a, b, c) -> (k, c, a, b)>
#y = affine_map<(h, v, k, a, b, c) -> (h, v, k)>
ml_program.global private @w(#ml_program.extern) : tensor<32x16x3x3xf32>
func.func @main(%x: tensor<8x8x16xf32>) -> tensor<8x8x32xf32> {
  %zero = arith.constant 0.0 : f32
  %w = ml_program.global_load_const @w : tensor<32x16x3x3xf32>
  %p = tensor.pad %x low[1, 1, 0] high[1, 1, 0] {
  ^bb0(%i: index, %j: index, %k: index):
    tensor.yield %zero : f32
  } : tensor<8x8x16xf32> to tensor<10x10x16xf32>
  %e = tensor.empty() : tensor<8x8x32xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<8x8x32xf32>) -> tensor<8x8x32xf32>
  %r = linalg.generic {indexing_maps = [#x, #w, #y], iterator_types = ["parallel", "parallel", "parallel", "reduction", "reduction", "reduction"]}
      ins(%p, %w : tensor<10x10x16xf32>, tensor<32x16x3x3xf32>) outs(%f : tensor<8x8x32xf32>) {
  ^bb0(%p0: f32, %p1: f32, %acc: f32):
    %0 = arith.mulf %p0, %p1 : f32
    %1 = arith.addf %acc, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<8x8x32xf32>
  return %r : tensor<8x8x32xf32>
}
