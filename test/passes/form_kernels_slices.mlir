// RUN: neo-opt --neo-form-kernels --split-input-file %s | FileCheck %s

#id = affine_map<(d0, d1) -> (d0, d1)>

// Halves of rows are read where they lie, by both that want them: the gate, and a concatenation that computes what it is
// the only reader of.
// CHECK-LABEL: func.func @halves
// CHECK:         %[[A:.*]] = call @elementwise_{{.*}}(%arg0, %{{.*}}) : (tensor<4x32xf32>, tensor<4x16xf32>) -> tensor<4x16xf32>
// CHECK:         %[[C:.*]] = call @other_{{.*}}(%arg0, %{{.*}}) : (tensor<4x32xf32>, tensor<4x32xf32>) -> tensor<4x32xf32>
// CHECK-NEXT:    return %[[A]], %[[C]]
// CHECK:       func.func @other_
// CHECK:         tensor.extract_slice
// CHECK:         arith.negf
// CHECK:         tensor.extract_slice
// CHECK:         tensor.concat
func.func @halves(%x: tensor<4x32xf32>) -> (tensor<4x16xf32>, tensor<4x32xf32>) {
  %left = tensor.extract_slice %x[0, 0] [4, 16] [1, 1] : tensor<4x32xf32> to tensor<4x16xf32>
  %right = tensor.extract_slice %x[0, 16] [4, 16] [1, 1] : tensor<4x32xf32> to tensor<4x16xf32>
  %e = tensor.empty() : tensor<4x16xf32>
  %gate = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%left, %right : tensor<4x16xf32>, tensor<4x16xf32>) outs(%e : tensor<4x16xf32>) {
  ^bb0(%l: f32, %r: f32, %o: f32):
    %s = arith.mulf %l, %r : f32
    linalg.yield %s : f32
  } -> tensor<4x16xf32>
  %n = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%right : tensor<4x16xf32>) outs(%e : tensor<4x16xf32>) {
  ^bb0(%r: f32, %o: f32):
    %s = arith.negf %r : f32
    linalg.yield %s : f32
  } -> tensor<4x16xf32>
  %turned = tensor.concat dim(1) %n, %left : (tensor<4x16xf32>, tensor<4x16xf32>) -> tensor<4x32xf32>
  return %gate, %turned : tensor<4x16xf32>, tensor<4x32xf32>
}

// -----

#id = affine_map<(d0, d1) -> (d0, d1)>

// Not where parts of a cache line lie together, nor what leaves the function.
// CHECK-LABEL: func.func @narrow
// CHECK-COUNT-2: call @other
// CHECK:         call @elementwise
// CHECK-NEXT:    return
func.func @narrow(%x: tensor<4x32xf32>) -> (tensor<4x15xf32>, tensor<4x16xf32>) {
  %part = tensor.extract_slice %x[0, 0] [4, 15] [1, 1] : tensor<4x32xf32> to tensor<4x15xf32>
  %right = tensor.extract_slice %x[0, 16] [4, 16] [1, 1] : tensor<4x32xf32> to tensor<4x16xf32>
  %e = tensor.empty() : tensor<4x15xf32>
  %n = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%part : tensor<4x15xf32>) outs(%e : tensor<4x15xf32>) {
  ^bb0(%r: f32, %o: f32):
    %s = arith.negf %r : f32
    linalg.yield %s : f32
  } -> tensor<4x15xf32>
  return %n, %right : tensor<4x15xf32>, tensor<4x16xf32>
}
