// RUN: neo-opt --neo-fuse-elementwise --canonicalize --cse %s | FileCheck %s

#id = affine_map<(d0, d1) -> (d0, d1)>
#first = affine_map<(d0, d1) -> (d0)>
#t = affine_map<(d0, d1) -> (d1, d0)>

// Rows at computed places are read from end to end, and what is made of them transposed behind that.
// CHECK-LABEL: func.func @rows
// CHECK: %[[ROWS:.*]] = linalg.generic {{.*}} outs(%{{.*}} : tensor<9x21xf32>)
// CHECK: tensor.extract
// CHECK: arith.mulf
// CHECK: linalg.generic {{.*}} ins(%[[ROWS]] : tensor<9x21xf32>) outs(%{{.*}} : tensor<21x9xf32>)
func.func @rows(%x: tensor<4x21xf32>, %at: tensor<9xindex>) -> tensor<21x9xf32> {
  %e = tensor.empty() : tensor<9x21xf32>
  %g = linalg.generic {indexing_maps = [#first, #id], iterator_types = ["parallel", "parallel"]} ins(%at : tensor<9xindex>) outs(%e : tensor<9x21xf32>) {
  ^bb0(%i: index, %o: f32):
    %c = linalg.index 1 : index
    %0 = tensor.extract %x[%i, %c] : tensor<4x21xf32>
    linalg.yield %0 : f32
  } -> tensor<9x21xf32>
  %s = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]} ins(%g : tensor<9x21xf32>) outs(%e : tensor<9x21xf32>) {
  ^bb0(%a: f32, %o: f32):
    %0 = arith.mulf %a, %a : f32
    linalg.yield %0 : f32
  } -> tensor<9x21xf32>
  %et = tensor.empty() : tensor<21x9xf32>
  %r = linalg.generic {indexing_maps = [#t, #id], iterator_types = ["parallel", "parallel"]} ins(%s : tensor<9x21xf32>) outs(%et : tensor<21x9xf32>) {
  ^bb0(%a: f32, %o: f32):
    linalg.yield %a : f32
  } -> tensor<21x9xf32>
  return %r : tensor<21x9xf32>
}

// Single elements at computed places are no rows: the transpose is in the reads.
// CHECK-LABEL: func.func @elements
// CHECK: tensor.extract
// CHECK-NOT: linalg.generic
func.func @elements(%x: tensor<84xf32>, %at: tensor<9x21xindex>) -> tensor<21x9xf32> {
  %e = tensor.empty() : tensor<9x21xf32>
  %g = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]} ins(%at : tensor<9x21xindex>) outs(%e : tensor<9x21xf32>) {
  ^bb0(%i: index, %o: f32):
    %0 = tensor.extract %x[%i] : tensor<84xf32>
    linalg.yield %0 : f32
  } -> tensor<9x21xf32>
  %et = tensor.empty() : tensor<21x9xf32>
  %r = linalg.generic {indexing_maps = [#t, #id], iterator_types = ["parallel", "parallel"]} ins(%g : tensor<9x21xf32>) outs(%et : tensor<21x9xf32>) {
  ^bb0(%a: f32, %o: f32):
    linalg.yield %a : f32
  } -> tensor<21x9xf32>
  return %r : tensor<21x9xf32>
}
