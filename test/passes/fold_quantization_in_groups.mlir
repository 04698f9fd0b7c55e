// RUN: neo-opt --neo-fold-quantization %s | FileCheck %s

// Scales along a dimension that is cut into groups and their columns are cut as well, and stay behind the sums.
// CHECK-LABEL: func.func @groups
// CHECK:         %[[W:.*]] = tensor.expand_shape %{{.*}} {{\[\[}}0, 1], [2]] output_shape [2, 3, 8] : tensor<6x8xi8> into tensor<2x3x8xi8>
// CHECK:         %[[S:.*]] = tensor.expand_shape %{{.*}} {{\[\[}}0, 1]] output_shape [2, 3] : tensor<6xf32> into tensor<2x3xf32>
// CHECK:         %[[ACC:.*]] = linalg.generic {{.*}} ins(%arg0, %[[W]] : tensor<2x4x8xi8>, tensor<2x3x8xi8>) outs({{.*}} : tensor<2x4x3xi32>)
// CHECK:         linalg.generic {{.*}} ins(%[[ACC]], %[[S]] : tensor<2x4x3xi32>, tensor<2x3xf32>)

// Two channels of a group would be multiplied with as many zeros.
// CHECK-LABEL: func.func @few_channels
// CHECK-NOT:     arith.muli
// CHECK:         arith.mulf
// CHECK-NOT:     arith.muli
#plane = affine_map<(d0, d1) -> (d0, d1)>
#row = affine_map<(d0, d1) -> (d0)>
#cube = affine_map<(d0, d1, d2) -> (d0, d1, d2)>
#x = affine_map<(d0, d1, d2, d3) -> (d0, d1, d3)>
#w = affine_map<(d0, d1, d2, d3) -> (d0, d2, d3)>
#y = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2)>

ml_program.global private @w(#ml_program.extern) : tensor<6x8xi8>
ml_program.global private @v(#ml_program.extern) : tensor<6x2xi8>
ml_program.global private @s(#ml_program.extern) : tensor<6xf32>

func.func @groups(%x: tensor<2x4x8xi8>) -> tensor<2x4x3xf32> {
  %w = ml_program.global_load_const @w : tensor<6x8xi8>
  %s = ml_program.global_load_const @s : tensor<6xf32>
  %zero = arith.constant 0.0 : f32
  %e0 = tensor.empty() : tensor<2x4x8xf32>
  %e1 = tensor.empty() : tensor<6x8xf32>
  %e2 = tensor.empty() : tensor<2x4x3xf32>
  %xf = linalg.generic {indexing_maps = [#cube, #cube], iterator_types = ["parallel", "parallel", "parallel"]} ins(%x : tensor<2x4x8xi8>) outs(%e0 : tensor<2x4x8xf32>) {
  ^bb0(%in: i8, %o: f32):
    %0 = arith.uitofp %in : i8 to f32
    linalg.yield %0 : f32
  } -> tensor<2x4x8xf32>
  %wf = linalg.generic {indexing_maps = [#plane, #row, #plane], iterator_types = ["parallel", "parallel"]} ins(%w, %s : tensor<6x8xi8>, tensor<6xf32>) outs(%e1 : tensor<6x8xf32>) {
  ^bb0(%in: i8, %scale: f32, %o: f32):
    %0 = arith.sitofp %in : i8 to f32
    %1 = arith.mulf %0, %scale : f32
    linalg.yield %1 : f32
  } -> tensor<6x8xf32>
  %wg = tensor.expand_shape %wf [[0, 1], [2]] output_shape [2, 3, 8] : tensor<6x8xf32> into tensor<2x3x8xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e2 : tensor<2x4x3xf32>) -> tensor<2x4x3xf32>
  %r = linalg.generic {indexing_maps = [#x, #w, #y], iterator_types = ["parallel", "parallel", "parallel", "reduction"]} ins(%xf, %wg : tensor<2x4x8xf32>, tensor<2x3x8xf32>) outs(%f : tensor<2x4x3xf32>) {
  ^bb0(%p: f32, %q: f32, %o: f32):
    %0 = arith.mulf %p, %q : f32
    %1 = arith.addf %o, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<2x4x3xf32>
  return %r : tensor<2x4x3xf32>
}

func.func @few_channels(%x: tensor<2x4x2xi8>) -> tensor<2x4x3xf32> {
  %w = ml_program.global_load_const @v : tensor<6x2xi8>
  %zero = arith.constant 0.0 : f32
  %e0 = tensor.empty() : tensor<2x4x2xf32>
  %e1 = tensor.empty() : tensor<6x2xf32>
  %e2 = tensor.empty() : tensor<2x4x3xf32>
  %xf = linalg.generic {indexing_maps = [#cube, #cube], iterator_types = ["parallel", "parallel", "parallel"]} ins(%x : tensor<2x4x2xi8>) outs(%e0 : tensor<2x4x2xf32>) {
  ^bb0(%in: i8, %o: f32):
    %0 = arith.uitofp %in : i8 to f32
    linalg.yield %0 : f32
  } -> tensor<2x4x2xf32>
  %wf = linalg.generic {indexing_maps = [#plane, #plane], iterator_types = ["parallel", "parallel"]} ins(%w : tensor<6x2xi8>) outs(%e1 : tensor<6x2xf32>) {
  ^bb0(%in: i8, %o: f32):
    %0 = arith.sitofp %in : i8 to f32
    linalg.yield %0 : f32
  } -> tensor<6x2xf32>
  %wg = tensor.expand_shape %wf [[0, 1], [2]] output_shape [2, 3, 2] : tensor<6x2xf32> into tensor<2x3x2xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e2 : tensor<2x4x3xf32>) -> tensor<2x4x3xf32>
  %r = linalg.generic {indexing_maps = [#x, #w, #y], iterator_types = ["parallel", "parallel", "parallel", "reduction"]} ins(%xf, %wg : tensor<2x4x2xf32>, tensor<2x3x2xf32>) outs(%f : tensor<2x4x3xf32>) {
  ^bb0(%p: f32, %q: f32, %o: f32):
    %0 = arith.mulf %p, %q : f32
    %1 = arith.addf %o, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<2x4x3xf32>
  return %r : tensor<2x4x3xf32>
}
