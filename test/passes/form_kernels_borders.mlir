// RUN: neo-opt --neo-form-kernels=borders=true %s | FileCheck %s
// RUN: neo-opt --neo-form-kernels %s | FileCheck %s --check-prefix=APART

// No kernel writes the zeros around an argument that only a depthwise convolution reads: the convolution leaves them out.
// CHECK-LABEL: func.func @main
// CHECK:         call @contraction_{{.*}}(%{{.*}}, %{{.*}}, %{{.*}}) : (tensor<8x8x16xf32>, tensor<3x3x16xf32>, tensor<8x8x16xf32>)
// CHECK-NEXT:    return
// APART-LABEL: func.func @main
// APART:         call @other_
// APART:         call @contraction_
func.func @main(%x: tensor<8x8x16xf32>, %w: tensor<3x3x16xf32>) -> tensor<8x8x16xf32> {
  %zero = arith.constant 0.0 : f32
  %p = tensor.pad %x low[1, 1, 0] high[1, 1, 0] {
  ^bb0(%i: index, %j: index, %k: index):
    tensor.yield %zero : f32
  } : tensor<8x8x16xf32> to tensor<10x10x16xf32>
  %e = tensor.empty() : tensor<8x8x16xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<8x8x16xf32>) -> tensor<8x8x16xf32>
  %r = linalg.generic {
    indexing_maps = [affine_map<(h, v, c, a, b) -> (h + a, v + b, c)>, affine_map<(h, v, c, a, b) -> (a, b, c)>, affine_map<(h, v, c, a, b) -> (h, v, c)>],
    iterator_types = ["parallel", "parallel", "parallel", "reduction", "reduction"]
  } ins(%p, %w : tensor<10x10x16xf32>, tensor<3x3x16xf32>) outs(%f : tensor<8x8x16xf32>) {
  ^bb0(%a: f32, %b: f32, %acc: f32):
    %m = arith.mulf %a, %b : f32
    %s = arith.addf %acc, %m : f32
    linalg.yield %s : f32
  } -> tensor<8x8x16xf32>
  return %r : tensor<8x8x16xf32>
}

// The largest of windows leaves out a border of what loses against every number, but not zeros.
// CHECK-LABEL: func.func @largest
// CHECK:         call @other_{{.*}} : (tensor<8x8x16xf32>, tensor<10x10x16xf32>)
// CHECK:         call @window_{{.*}}(%{{.*}}, %{{.*}}) : (tensor<8x8x16xf32>, tensor<4x4x16xf32>)
// CHECK:         call @window_{{.*}}(%{{.*}}, %{{.*}}) : (tensor<10x10x16xf32>, tensor<4x4x16xf32>)
func.func @largest(%x: tensor<8x8x16xf32>) -> (tensor<4x4x16xf32>, tensor<4x4x16xf32>) {
  %low = arith.constant 0xFF800000 : f32
  %zero = arith.constant 0.0 : f32
  %p = tensor.pad %x low[1, 1, 0] high[1, 1, 0] {
  ^bb0(%i: index, %j: index, %k: index):
    tensor.yield %low : f32
  } : tensor<8x8x16xf32> to tensor<10x10x16xf32>
  %z = tensor.pad %x low[1, 1, 0] high[1, 1, 0] {
  ^bb0(%i: index, %j: index, %k: index):
    tensor.yield %zero : f32
  } : tensor<8x8x16xf32> to tensor<10x10x16xf32>
  %w = tensor.empty() : tensor<3x3xf32>
  %e = tensor.empty() : tensor<4x4x16xf32>
  %f = linalg.fill ins(%low : f32) outs(%e : tensor<4x4x16xf32>) -> tensor<4x4x16xf32>
  %r = linalg.generic {
    indexing_maps = [affine_map<(h, v, c, a, b) -> (h * 2 + a, v * 2 + b, c)>, affine_map<(h, v, c, a, b) -> (a, b)>, affine_map<(h, v, c, a, b) -> (h, v, c)>],
    iterator_types = ["parallel", "parallel", "parallel", "reduction", "reduction"]
  } ins(%p, %w : tensor<10x10x16xf32>, tensor<3x3xf32>) outs(%f : tensor<4x4x16xf32>) {
  ^bb0(%a: f32, %b: f32, %acc: f32):
    %s = arith.maximumf %acc, %a : f32
    linalg.yield %s : f32
  } -> tensor<4x4x16xf32>
  %q = linalg.generic {
    indexing_maps = [affine_map<(h, v, c, a, b) -> (h * 2 + a, v * 2 + b, c)>, affine_map<(h, v, c, a, b) -> (a, b)>, affine_map<(h, v, c, a, b) -> (h, v, c)>],
    iterator_types = ["parallel", "parallel", "parallel", "reduction", "reduction"]
  } ins(%z, %w : tensor<10x10x16xf32>, tensor<3x3xf32>) outs(%f : tensor<4x4x16xf32>) {
  ^bb0(%a: f32, %b: f32, %acc: f32):
    %s = arith.maximumf %acc, %a : f32
    linalg.yield %s : f32
  } -> tensor<4x4x16xf32>
  return %r, %q : tensor<4x4x16xf32>, tensor<4x4x16xf32>
}
