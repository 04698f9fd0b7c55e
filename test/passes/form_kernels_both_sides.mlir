// RUN: neo-opt --neo-form-kernels %s | FileCheck %s

// A square matrix scaled by its rows' sums on both sides: the sums are read as a row too, and no kernel of rows has those
// of other rows. The scaling is a kernel of its own.
// CHECK-LABEL: func.func @main
// CHECK:         call @row_
// CHECK:         call @elementwise_
// CHECK:         return
#rows = affine_map<(i, j) -> (i, j)>
#row = affine_map<(i, j) -> (i)>
#column = affine_map<(i, j) -> (j)>
func.func @main(%x: tensor<48x48xf32>) -> tensor<48x48xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<48xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<48xf32>) -> tensor<48xf32>
  %s = linalg.generic {indexing_maps = [#rows, #row], iterator_types = ["parallel", "reduction"]} ins(%x : tensor<48x48xf32>) outs(%f : tensor<48xf32>) {
  ^bb0(%a: f32, %b: f32):
    %0 = arith.addf %a, %b : f32
    linalg.yield %0 : f32
  } -> tensor<48xf32>
  %o = tensor.empty() : tensor<48x48xf32>
  %r = linalg.generic {indexing_maps = [#row, #rows, #column, #rows], iterator_types = ["parallel", "parallel"]} ins(%s, %x, %s : tensor<48xf32>, tensor<48x48xf32>, tensor<48xf32>) outs(%o : tensor<48x48xf32>) {
  ^bb0(%a: f32, %b: f32, %c: f32, %d: f32):
    %0 = arith.mulf %a, %b : f32
    %1 = arith.mulf %0, %c : f32
    linalg.yield %1 : f32
  } -> tensor<48x48xf32>
  return %r : tensor<48x48xf32>
}
