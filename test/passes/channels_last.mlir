// RUN: neo-opt --neo-generalize --neo-channels-last --canonicalize %s | FileCheck %s

// Two convolutions with padding, a ReLU and a mean between and behind them: one transpose of the input, and none of
// the mean, whose other dimensions are 1.
// CHECK-DAG: #[[TO_LAST:.*]] = affine_map<(d0, d1, d2, d3) -> (d0, d3, d1, d2)>
// CHECK-DAG: #[[WINDOW:.*]] = affine_map<(d0, d1, d2, d3, d4, d5, d6) -> (d0, d1 + d4, d2 + d5, d6)>
// CHECK-LABEL: func.func @main
// CHECK: linalg.generic {indexing_maps = [#[[TO_LAST]], #{{.*}}], {{.*}} outs(%{{.*}} : tensor<1x8x8x3xf32>)
// CHECK-NOT: #[[TO_LAST]]
// CHECK: tensor.pad {{.*}} low[0, 1, 1, 0] high[0, 1, 1, 0]
// CHECK: tensor<1x8x8x3xf32> to tensor<1x10x10x3xf32>
// CHECK: linalg.generic {indexing_maps = [#[[WINDOW]],
// CHECK: -> tensor<1x8x8x4xf32>
// CHECK: math.exp
// CHECK: linalg.generic {indexing_maps = [#[[WINDOW]],
// CHECK: -> tensor<1x6x6x5xf32>
// CHECK: -> tensor<1x1x1x5xf32>
// CHECK: %[[R:.*]] = tensor.collapse_shape %{{.*}} {{\[}}[0], [1, 2, 3]] : tensor<1x1x1x5xf32> into tensor<1x5xf32>
// CHECK-NEXT: return %[[R]]
#id = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>
#mean = affine_map<(d0, d1, d2, d3) -> (d0, d1, 0, 0)>
func.func @main(%x: tensor<1x3x8x8xf32>, %w: tensor<4x3x3x3xf32>, %v: tensor<5x4x3x3xf32>) -> tensor<1x5xf32> {
  %zero = arith.constant 0.0 : f32
  %padded = tensor.pad %x low[0, 0, 1, 1] high[0, 0, 1, 1] {
  ^bb0(%i: index, %j: index, %k: index, %l: index):
    tensor.yield %zero : f32
  } : tensor<1x3x8x8xf32> to tensor<1x3x10x10xf32>
  %e = tensor.empty() : tensor<1x4x8x8xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<1x4x8x8xf32>) -> tensor<1x4x8x8xf32>
  %c = linalg.conv_2d_nchw_fchw {dilations = dense<1> : vector<2xi64>, strides = dense<1> : vector<2xi64>} ins(%padded, %w : tensor<1x3x10x10xf32>, tensor<4x3x3x3xf32>) outs(%f : tensor<1x4x8x8xf32>) -> tensor<1x4x8x8xf32>
  %r = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%c : tensor<1x4x8x8xf32>) outs(%e : tensor<1x4x8x8xf32>) {
  ^bb0(%in: f32, %out: f32):
    %0 = math.exp %in : f32
    linalg.yield %0 : f32
  } -> tensor<1x4x8x8xf32>
  %e1 = tensor.empty() : tensor<1x5x6x6xf32>
  %f1 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<1x5x6x6xf32>) -> tensor<1x5x6x6xf32>
  %c1 = linalg.conv_2d_nchw_fchw {dilations = dense<1> : vector<2xi64>, strides = dense<1> : vector<2xi64>} ins(%r, %v : tensor<1x4x8x8xf32>, tensor<5x4x3x3xf32>) outs(%f1 : tensor<1x5x6x6xf32>) -> tensor<1x5x6x6xf32>
  %e2 = tensor.empty() : tensor<1x5x1x1xf32>
  %f2 = linalg.fill ins(%zero : f32) outs(%e2 : tensor<1x5x1x1xf32>) -> tensor<1x5x1x1xf32>
  %m = linalg.generic {indexing_maps = [#id, #mean], iterator_types = ["parallel", "parallel", "reduction", "reduction"]} ins(%c1 : tensor<1x5x6x6xf32>) outs(%f2 : tensor<1x5x1x1xf32>) {
  ^bb0(%in: f32, %out: f32):
    %0 = arith.addf %in, %out : f32
    linalg.yield %0 : f32
  } -> tensor<1x5x1x1xf32>
  %flat = tensor.collapse_shape %m [[0], [1, 2, 3]] : tensor<1x5x1x1xf32> into tensor<1x5xf32>
  return %flat : tensor<1x5xf32>
}

// Pooling, concatenation and slices of dynamic height keep the layout: the argument is read where it stands, and only
// the result is transposed.
// CHECK-LABEL: func.func @dynamic
// CHECK: tensor.empty(%{{.*}}) : tensor<1x?x4x4xf32>
// CHECK: -> tensor<1x?x4x4xf32>
// CHECK: tensor.concat dim(3) {{.*}} -> tensor<1x?x4x8xf32>
// CHECK: tensor.extract_slice %{{.*}}[0, 0, 1, 2] [1, 2, 2, 5] [1, 1, 1, 1] : tensor<1x?x4x8xf32> to tensor<1x2x2x5xf32>
// CHECK: linalg.generic {{.*}} outs(%{{.*}} : tensor<1x5x2x2xf32>)
// CHECK-NEXT: ^bb0
// CHECK-NEXT: linalg.yield
// CHECK-NEXT: tensor<1x5x2x2xf32>
// CHECK-NEXT: return
func.func @dynamic(%x: tensor<1x4x?x8xf32>) -> tensor<1x5x2x2xf32> {
  %low = arith.constant 0xFF800000 : f32
  %c2 = arith.constant 2 : index
  %d = tensor.dim %x, %c2 : tensor<1x4x?x8xf32>
  %h = arith.divui %d, %c2 : index
  %window = tensor.empty() : tensor<2x2xf32>
  %e = tensor.empty(%h) : tensor<1x4x?x4xf32>
  %f = linalg.fill ins(%low : f32) outs(%e : tensor<1x4x?x4xf32>) -> tensor<1x4x?x4xf32>
  %p = linalg.pooling_nchw_max {dilations = dense<1> : vector<2xi64>, strides = dense<2> : vector<2xi64>} ins(%x, %window : tensor<1x4x?x8xf32>, tensor<2x2xf32>) outs(%f : tensor<1x4x?x4xf32>) -> tensor<1x4x?x4xf32>
  %c = tensor.concat dim(1) %p, %p : (tensor<1x4x?x4xf32>, tensor<1x4x?x4xf32>) -> tensor<1x8x?x4xf32>
  %s = tensor.extract_slice %c[0, 2, 0, 1] [1, 5, 2, 2] [1, 1, 1, 1] : tensor<1x8x?x4xf32> to tensor<1x5x2x2xf32>
  return %s : tensor<1x5x2x2xf32>
}

// A reshape to or from a tensor without dimensions has no layout to carry, and stays.
// CHECK-LABEL: func.func @no_dimensions
// CHECK-SAME: (%[[X:.*]]: tensor<1x1xf32>)
// CHECK-NEXT: %[[S:.*]] = tensor.collapse_shape %[[X]] [] : tensor<1x1xf32> into tensor<f32>
// CHECK-NEXT: %[[E:.*]] = math.exp %[[S]]
// CHECK-NEXT: tensor.expand_shape %[[E]] [] output_shape [1, 1] : tensor<f32> into tensor<1x1xf32>
func.func @no_dimensions(%x: tensor<1x1xf32>) -> tensor<1x1xf32> {
  %s = tensor.collapse_shape %x [] : tensor<1x1xf32> into tensor<f32>
  %e = math.exp %s : tensor<f32>
  %r = tensor.expand_shape %e [] output_shape [1, 1] : tensor<f32> into tensor<1x1xf32>
  return %r : tensor<1x1xf32>
}

// A reshape of a tensor that has its layout already goes by the extents of the program: one block of four by four points
// stays together, though all that is in front of it in memory are dimensions of one.
// CHECK-LABEL: func.func @one_block
// CHECK: tensor.collapse_shape %{{.*}} {{\[\[}}0], [1, 2, 3], [4], [5]] : tensor<1x4x1x4x2x8xf32> into tensor<1x16x2x8xf32>
func.func @one_block(%x: tensor<1x3x6x6xf32>, %w: tensor<16x3x3x3xf32>) -> tensor<2x8x16x1xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<1x16x4x4xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<1x16x4x4xf32>) -> tensor<1x16x4x4xf32>
  %c = linalg.conv_2d_nchw_fchw {dilations = dense<1> : vector<2xi64>, strides = dense<1> : vector<2xi64>} ins(%x, %w : tensor<1x3x6x6xf32>, tensor<16x3x3x3xf32>) outs(%f : tensor<1x16x4x4xf32>) -> tensor<1x16x4x4xf32>
  %one = tensor.collapse_shape %c [[0, 1], [2], [3]] : tensor<1x16x4x4xf32> into tensor<16x4x4xf32>
  %six = tensor.expand_shape %one [[0, 1], [2, 3], [4, 5]] output_shape [2, 8, 1, 4, 1, 4] : tensor<16x4x4xf32> into tensor<2x8x1x4x1x4xf32>
  %o = tensor.empty() : tensor<2x8x4x4x1x1xf32>
  %t = linalg.transpose ins(%six : tensor<2x8x1x4x1x4xf32>) outs(%o : tensor<2x8x4x4x1x1xf32>) permutation = [0, 1, 3, 5, 2, 4]
  %r = tensor.collapse_shape %t [[0], [1], [2, 3], [4, 5]] : tensor<2x8x4x4x1x1xf32> into tensor<2x8x16x1xf32>
  return %r : tensor<2x8x16x1xf32>
}
