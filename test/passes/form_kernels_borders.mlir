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

// Nor does one for a batch that is not known, where the host names the extents of what would be padded.
// CHECK-LABEL: func.func @batch
// CHECK-NOT:     call @other_
// CHECK:         call @contraction_{{.*}} : (tensor<?x8x8x16xf32>, tensor<3x3x16xf32>, {{.*}}tensor<?x8x8x16xf32>)
// CHECK-NEXT:    return
// CHECK-LABEL: func.func @contraction_{{.*}}tensor<?x8x8x16xf32>
// CHECK:         tensor.pad
// CHECK-NOT:     materialize_in_destination
// CHECK:         linalg.generic
// APART-LABEL: func.func @batch
// APART:         call @other_
// APART:         call @contraction_
func.func @batch(%x: tensor<?x8x8x16xf32>, %w: tensor<3x3x16xf32>) -> tensor<?x8x8x16xf32> {
  %zero = arith.constant 0.0 : f32
  %c0 = arith.constant 0 : index
  %n = tensor.dim %x, %c0 : tensor<?x8x8x16xf32>
  %p = tensor.pad %x low[0, 1, 1, 0] high[0, 1, 1, 0] {
  ^bb0(%b: index, %i: index, %j: index, %k: index):
    tensor.yield %zero : f32
  } : tensor<?x8x8x16xf32> to tensor<?x10x10x16xf32>
  %e = tensor.empty(%n) : tensor<?x8x8x16xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<?x8x8x16xf32>) -> tensor<?x8x8x16xf32>
  %r = linalg.generic {
    indexing_maps = [affine_map<(n, h, v, c, a, b) -> (n, h + a, v + b, c)>, affine_map<(n, h, v, c, a, b) -> (a, b, c)>, affine_map<(n, h, v, c, a, b) -> (n, h, v, c)>],
    iterator_types = ["parallel", "parallel", "parallel", "parallel", "reduction", "reduction"]
  } ins(%p, %w : tensor<?x10x10x16xf32>, tensor<3x3x16xf32>) outs(%f : tensor<?x8x8x16xf32>) {
  ^bb0(%a: f32, %b: f32, %acc: f32):
    %m = arith.mulf %a, %b : f32
    %s = arith.addf %acc, %m : f32
    linalg.yield %s : f32
  } -> tensor<?x8x8x16xf32>
  return %r : tensor<?x8x8x16xf32>
}
