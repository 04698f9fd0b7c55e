// RUN: neo-opt --neo-sink-reshapes --canonicalize %s | FileCheck %s

#id2 = affine_map<(d0, d1) -> (d0, d1)>
#id3 = affine_map<(d0, d1, d2) -> (d0, d1, d2)>
#rows = affine_map<(d0, d1, d2) -> (d0, d1)>
#last = affine_map<(d0, d1, d2) -> (d2)>
#first = affine_map<(d0, d1, d2) -> (d0)>
#a = affine_map<(d0, d1, d2) -> (d0, d2)>
#b = affine_map<(d0, d1, d2) -> (d2, d1)>
#c = affine_map<(d0, d1, d2) -> (d0, d1)>

// A residual and a scale behind a product of collapsed rows; the reshape in front of the next product is gone.
// CHECK-LABEL: func.func @residual
// CHECK-SAME: %[[X:.*]]: tensor<2x3x8xf32>
// CHECK: %[[PRODUCT:.*]] = linalg.generic {{.*}} "reduction"]
// CHECK: %[[FLAT:.*]] = tensor.collapse_shape %[[X]] {{\[\[}}0, 1], [2]]
// CHECK: linalg.generic {{.*}} iterator_types = ["parallel", "parallel"]} ins(%[[PRODUCT]], %[[FLAT]], %{{.*}} : tensor<6x8xf32>, tensor<6x8xf32>, tensor<8xf32>)
// CHECK-NOT: expand_shape
// CHECK: return %{{.*}} : tensor<6x8xf32>
func.func @residual(%x: tensor<2x3x8xf32>, %p: tensor<6x4xf32>, %w: tensor<4x8xf32>, %g: tensor<8xf32>) -> tensor<6x8xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<6x8xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<6x8xf32>) -> tensor<6x8xf32>
  %m = linalg.generic {indexing_maps = [#a, #b, #c], iterator_types = ["parallel", "parallel", "reduction"]} ins(%p, %w : tensor<6x4xf32>, tensor<4x8xf32>) outs(%f : tensor<6x8xf32>) {
  ^bb0(%l: f32, %r: f32, %out: f32):
    %0 = arith.mulf %l, %r : f32
    %1 = arith.addf %out, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<6x8xf32>
  %wide = tensor.expand_shape %m [[0, 1], [2]] output_shape [2, 3, 8] : tensor<6x8xf32> into tensor<2x3x8xf32>
  %o = tensor.empty() : tensor<2x3x8xf32>
  %s = linalg.generic {indexing_maps = [#id3, #id3, #last, #id3], iterator_types = ["parallel", "parallel", "parallel"]} ins(%wide, %x, %g : tensor<2x3x8xf32>, tensor<2x3x8xf32>, tensor<8xf32>) outs(%o : tensor<2x3x8xf32>) {
  ^bb0(%v: f32, %i: f32, %k: f32, %out: f32):
    %0 = arith.mulf %v, %k : f32
    %1 = arith.addf %0, %i : f32
    linalg.yield %1 : f32
  } -> tensor<2x3x8xf32>
  %flat = tensor.collapse_shape %s [[0, 1], [2]] : tensor<2x3x8xf32> into tensor<6x8xf32>
  return %flat : tensor<6x8xf32>
}

// The sums of rows of that are sums of collapsed rows, and a result that is wanted wide is reshaped last. Sizes that
// are dynamic are those of what was expanded.
// CHECK-LABEL: func.func @rows
// CHECK-SAME: %[[M:.*]]: tensor<?x8xf32>
// CHECK: %[[R:.*]] = linalg.generic {{.*}} ins(%[[M]] : tensor<?x8xf32>) outs(%{{.*}} : tensor<?xf32>)
// CHECK: %[[D:.*]] = linalg.generic {{.*}} ins(%[[R]] : tensor<?xf32>) outs(%{{.*}} : tensor<?xf32>)
// CHECK: tensor.expand_shape %[[D]] {{\[\[}}0, 1]]
func.func @rows(%m: tensor<?x8xf32>, %n: index) -> tensor<?x3xf32> {
  %zero = arith.constant 0.0 : f32
  %c0 = arith.constant 0 : index
  %size = tensor.dim %m, %c0 : tensor<?x8xf32>
  %re = tensor.empty(%size) : tensor<?xf32>
  %rf = linalg.fill ins(%zero : f32) outs(%re : tensor<?xf32>) -> tensor<?xf32>
  %r = linalg.generic {indexing_maps = [#id2, affine_map<(d0, d1) -> (d0)>], iterator_types = ["parallel", "reduction"]} ins(%m : tensor<?x8xf32>) outs(%rf : tensor<?xf32>) {
  ^bb0(%v: f32, %out: f32):
    %0 = arith.addf %v, %out : f32
    linalg.yield %0 : f32
  } -> tensor<?xf32>
  %wide = tensor.expand_shape %r [[0, 1]] output_shape [%n, 3] : tensor<?xf32> into tensor<?x3xf32>
  %o = tensor.empty(%n) : tensor<?x3xf32>
  %s = linalg.generic {indexing_maps = [#id2, #id2], iterator_types = ["parallel", "parallel"]} ins(%wide : tensor<?x3xf32>) outs(%o : tensor<?x3xf32>) {
  ^bb0(%v: f32, %out: f32):
    %0 = math.exp %v : f32
    linalg.yield %0 : f32
  } -> tensor<?x3xf32>
  return %s : tensor<?x3xf32>
}

// A factor that knows only one of the dimensions keeps them apart.
// CHECK-LABEL: func.func @apart
// CHECK: linalg.generic {{.*}} iterator_types = ["parallel", "parallel", "parallel"]} ins(%{{.*}}, %{{.*}} : tensor<2x3x8xf32>, tensor<2xf32>)
func.func @apart(%x: tensor<6x8x5xf32>, %g: tensor<2xf32>) -> tensor<2x3x8xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<6x8xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<6x8xf32>) -> tensor<6x8xf32>
  %m = linalg.generic {indexing_maps = [#id3, #rows], iterator_types = ["parallel", "parallel", "reduction"]} ins(%x : tensor<6x8x5xf32>) outs(%f : tensor<6x8xf32>) {
  ^bb0(%v: f32, %out: f32):
    %0 = arith.addf %v, %out : f32
    linalg.yield %0 : f32
  } -> tensor<6x8xf32>
  %wide = tensor.expand_shape %m [[0, 1], [2]] output_shape [2, 3, 8] : tensor<6x8xf32> into tensor<2x3x8xf32>
  %o = tensor.empty() : tensor<2x3x8xf32>
  %s = linalg.generic {indexing_maps = [#id3, #first, #id3], iterator_types = ["parallel", "parallel", "parallel"]} ins(%wide, %g : tensor<2x3x8xf32>, tensor<2xf32>) outs(%o : tensor<2x3x8xf32>) {
  ^bb0(%v: f32, %k: f32, %out: f32):
    %0 = arith.mulf %v, %k : f32
    linalg.yield %0 : f32
  } -> tensor<2x3x8xf32>
  return %s : tensor<2x3x8xf32>
}

// Channels in groups are collapsed behind the convolution: what alone reads them comes first, on all of their
// dimensions, so that it is the convolution's epilogue.
// CHECK-LABEL: func.func @groups
// CHECK-SAME: , %[[B:[a-z0-9]*]]: tensor<8xf32>)
// CHECK: %[[SUM:.*]] = linalg.generic {{.*}} "reduction"]
// CHECK: %[[WIDE:.*]] = tensor.expand_shape %[[B]] {{\[\[}}0, 1]]
// CHECK: %[[DONE:.*]] = linalg.generic {{.*}} iterator_types = ["parallel", "parallel", "parallel"]} ins(%[[SUM]], %[[WIDE]] : tensor<3x2x4xf32>, tensor<2x4xf32>)
// CHECK: tensor.collapse_shape %[[DONE]] {{\[\[}}0], [1, 2]]
func.func @groups(%x: tensor<3x2x4x5xf32>, %b: tensor<8xf32>) -> tensor<3x8xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<3x2x4xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<3x2x4xf32>) -> tensor<3x2x4xf32>
  %m = linalg.generic {indexing_maps = [affine_map<(i, g, n, k) -> (i, g, n, k)>, affine_map<(i, g, n, k) -> (i, g, n)>], iterator_types = ["parallel", "parallel", "parallel", "reduction"]} ins(%x : tensor<3x2x4x5xf32>) outs(%f : tensor<3x2x4xf32>) {
  ^bb0(%v: f32, %out: f32):
    %0 = arith.addf %v, %out : f32
    linalg.yield %0 : f32
  } -> tensor<3x2x4xf32>
  %flat = tensor.collapse_shape %m [[0], [1, 2]] : tensor<3x2x4xf32> into tensor<3x8xf32>
  %o = tensor.empty() : tensor<3x8xf32>
  %s = linalg.generic {indexing_maps = [#id2, affine_map<(d0, d1) -> (d1)>, #id2], iterator_types = ["parallel", "parallel"]} ins(%flat, %b : tensor<3x8xf32>, tensor<8xf32>) outs(%o : tensor<3x8xf32>) {
  ^bb0(%v: f32, %k: f32, %out: f32):
    %0 = arith.addf %v, %k : f32
    linalg.yield %0 : f32
  } -> tensor<3x8xf32>
  return %s : tensor<3x8xf32>
}
