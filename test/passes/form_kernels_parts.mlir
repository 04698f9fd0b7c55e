// RUN: neo-opt --neo-form-kernels --split-input-file %s | FileCheck %s

#map = affine_map<(d0) -> (d0)>

// A row of a matrix lies from end to end, and so do rows side by side: the host looks at one, and tells kernels to write
// the others. What the function is given is copied once.
// CHECK-LABEL: func.func @rows
// CHECK:         %[[ROW:.*]] = tensor.extract_slice %arg0[2, 0] [1, 8] [1, 1]
// CHECK:         %[[E:.*]] = tensor.empty() : tensor<8xf32>
// CHECK:         %[[A:.*]] = call @elementwise_{{.*}}(%[[ROW]], %[[E]])
// CHECK:         %[[X:.*]] = tensor.expand_shape %[[A]]
// CHECK:         %[[COPY:.*]] = call @elementwise_
// CHECK:         tensor.concat dim(0) %[[X]], %[[X2:.*]], %[[COPY]] :
// CHECK-NOT:     @other
// CHECK:         return
func.func @rows(%x: tensor<4x8xf32>, %last: tensor<1x8xf32>) -> tensor<3x8xf32> {
  %row = tensor.extract_slice %x[2, 0] [1, 8] [1, 1] : tensor<4x8xf32> to tensor<8xf32>
  %e = tensor.empty() : tensor<8xf32>
  %a = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel"]}
      ins(%row : tensor<8xf32>) outs(%e : tensor<8xf32>) {
  ^bb0(%i: f32, %o: f32):
    %s = math.exp %i : f32
    linalg.yield %s : f32
  } -> tensor<8xf32>
  %b = linalg.generic {indexing_maps = [#map, affine_map<(d0) -> (7 - d0)>, #map], iterator_types = ["parallel"]}
      ins(%row, %a : tensor<8xf32>, tensor<8xf32>) outs(%e : tensor<8xf32>) {
  ^bb0(%i: f32, %j: f32, %o: f32):
    %s = arith.addf %i, %j : f32
    linalg.yield %s : f32
  } -> tensor<8xf32>
  %a1 = tensor.expand_shape %a [[0, 1]] output_shape [1, 8] : tensor<8xf32> into tensor<1x8xf32>
  %b1 = tensor.expand_shape %b [[0, 1]] output_shape [1, 8] : tensor<8xf32> into tensor<1x8xf32>
  %c = tensor.concat dim(0) %a1, %b1, %last : (tensor<1x8xf32>, tensor<1x8xf32>, tensor<1x8xf32>) -> tensor<3x8xf32>
  return %c : tensor<3x8xf32>
}

// -----

// Columns have gaps between them, and a part that is larger than the rest is not copied for its sake.
// CHECK-LABEL: func.func @copied
// CHECK-COUNT-3: call @other
// CHECK-NOT:     tensor.extract_slice
// CHECK-NOT:     tensor.concat
// CHECK:       module
func.func @copied(%x: tensor<4x8xf32>) -> (tensor<4x2xf32>, tensor<4x16xf32>, tensor<5x8xf32>) {
  %columns = tensor.extract_slice %x[0, 2] [4, 2] [1, 1] : tensor<4x8xf32> to tensor<4x2xf32>
  %wide = tensor.concat dim(1) %x, %x : (tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<4x16xf32>
  %row = tensor.extract_slice %x[1, 0] [1, 8] [1, 1] : tensor<4x8xf32> to tensor<1x8xf32>
  %long = tensor.concat dim(0) %x, %row : (tensor<4x8xf32>, tensor<1x8xf32>) -> tensor<5x8xf32>
  return %columns, %wide, %long : tensor<4x2xf32>, tensor<4x16xf32>, tensor<5x8xf32>
}
