// RUN: neo-opt --neo-split-columns=target=znver4 %s | FileCheck %s

#in = affine_map<(d0, d1) -> (d1, d0)>
#out = affine_map<(d0, d1) -> (d0)>

// Eight parts of the rows are summed by themselves, then these.
// CHECK-DAG: #[[READ:.*]] = affine_map<(d0, d1, d2) -> (d0, d2, d1)>
// CHECK-DAG: #[[WRITTEN:.*]] = affine_map<(d0, d1, d2) -> (d0, d1)>
// CHECK-DAG: #[[PARTS:.*]] = affine_map<(d0, d1) -> (d1, d0)>
// CHECK-LABEL: func.func @sums
// CHECK-SAME: %[[X:[a-z0-9]*]]: tensor<4096x1024xf32>
// CHECK: %[[START:.*]] = linalg.fill ins(%{{.*}}) outs(%{{.*}} : tensor<1024xf32>)
// CHECK: %[[WIDE:.*]] = tensor.expand_shape %[[X]] {{\[\[}}0, 1], [2]] output_shape [8, 512, 1024]
// CHECK: %[[ZERO:.*]] = arith.constant 0.000000e+00
// CHECK: %[[FILL:.*]] = linalg.fill ins(%[[ZERO]] : f32) outs(%{{.*}} : tensor<8x1024xf32>)
// CHECK: %[[SOME:.*]] = linalg.generic {indexing_maps = [#[[READ]], #[[WRITTEN]]], iterator_types = ["parallel", "parallel", "reduction"]} ins(%[[WIDE]] : {{.*}}) outs(%[[FILL]]
// CHECK: arith.addf
// CHECK: %[[ALL:.*]] = linalg.generic {indexing_maps = [#[[PARTS]], {{.*}}], iterator_types = ["parallel", "reduction"]} ins(%[[SOME]] : {{.*}}) outs(%[[START]]
// CHECK: arith.addf
// CHECK: return %[[ALL]]
func.func @sums(%x: tensor<4096x1024xf32>) -> tensor<1024xf32> {
  %one = arith.constant 1.0 : f32
  %e = tensor.empty() : tensor<1024xf32>
  %f = linalg.fill ins(%one : f32) outs(%e : tensor<1024xf32>) -> tensor<1024xf32>
  %r = linalg.generic {indexing_maps = [#in, #out], iterator_types = ["parallel", "reduction"]} ins(%x : tensor<4096x1024xf32>) outs(%f : tensor<1024xf32>) {
  ^bb0(%a: f32, %acc: f32):
    %s = arith.addf %a, %acc : f32
    linalg.yield %s : f32
  } -> tensor<1024xf32>
  return %r : tensor<1024xf32>
}

// What is computed of each element stays where it is, and so does what all rows share. Of 4,098 rows six parts are equal.
// CHECK-LABEL: func.func @largest
// CHECK-SAME: %[[X:[a-z0-9]*]]: tensor<4098x1024xf32>, %[[SHIFT:[a-z0-9]*]]: tensor<1024xf32>
// CHECK: %[[WIDE:.*]] = tensor.expand_shape %[[X]] {{\[\[}}0, 1], [2]] output_shape [6, 683, 1024]
// CHECK: arith.constant 0xFF800000
// CHECK: linalg.generic {{.*}} ins(%[[WIDE]], %[[SHIFT]] : tensor<6x683x1024xf32>, tensor<1024xf32>)
// CHECK: math.absf
// CHECK: arith.maximumf
// CHECK: linalg.generic
// CHECK-NOT: math.absf
// CHECK: arith.maximumf
func.func @largest(%x: tensor<4098x1024xf32>, %shift: tensor<1024xf32>) -> tensor<1024xf32> {
  %low = arith.constant 0xFF800000 : f32
  %e = tensor.empty() : tensor<1024xf32>
  %f = linalg.fill ins(%low : f32) outs(%e : tensor<1024xf32>) -> tensor<1024xf32>
  %r = linalg.generic {indexing_maps = [#in, #out, #out], iterator_types = ["parallel", "reduction"]} ins(%x, %shift : tensor<4098x1024xf32>, tensor<1024xf32>) outs(%f : tensor<1024xf32>) {
  ^bb0(%a: f32, %b: f32, %acc: f32):
    %d = arith.subf %a, %b : f32
    %p = math.absf %d : f32
    %s = arith.maximumf %p, %acc : f32
    linalg.yield %s : f32
  } -> tensor<1024xf32>
  return %r : tensor<1024xf32>
}

// Long rows are cut into pages, a prime number of rows is no whole number of parts, and a cache holds what is small.
// CHECK-LABEL: func.func @long
// CHECK-NOT: tensor.expand_shape
func.func @long(%x: tensor<1024x4096xf32>, %f: tensor<4096xf32>) -> tensor<4096xf32> {
  %r = linalg.generic {indexing_maps = [#in, #out], iterator_types = ["parallel", "reduction"]} ins(%x : tensor<1024x4096xf32>) outs(%f : tensor<4096xf32>) {
  ^bb0(%a: f32, %acc: f32):
    %s = arith.addf %a, %acc : f32
    linalg.yield %s : f32
  } -> tensor<4096xf32>
  return %r : tensor<4096xf32>
}

// CHECK-LABEL: func.func @prime
// CHECK-NOT: tensor.expand_shape
func.func @prime(%x: tensor<4099x1024xf32>, %f: tensor<1024xf32>) -> tensor<1024xf32> {
  %r = linalg.generic {indexing_maps = [#in, #out], iterator_types = ["parallel", "reduction"]} ins(%x : tensor<4099x1024xf32>) outs(%f : tensor<1024xf32>) {
  ^bb0(%a: f32, %acc: f32):
    %s = arith.addf %a, %acc : f32
    linalg.yield %s : f32
  } -> tensor<1024xf32>
  return %r : tensor<1024xf32>
}

// CHECK-LABEL: func.func @small
// CHECK-NOT: tensor.expand_shape
func.func @small(%x: tensor<512x1024xf32>, %f: tensor<1024xf32>) -> tensor<1024xf32> {
  %r = linalg.generic {indexing_maps = [#in, #out], iterator_types = ["parallel", "reduction"]} ins(%x : tensor<512x1024xf32>) outs(%f : tensor<1024xf32>) {
  ^bb0(%a: f32, %acc: f32):
    %s = arith.addf %a, %acc : f32
    linalg.yield %s : f32
  } -> tensor<1024xf32>
  return %r : tensor<1024xf32>
}

// Sums of products are products of matrices, and rows that are walked across are none.
// CHECK-LABEL: func.func @product
// CHECK-NOT: tensor.expand_shape
func.func @product(%x: tensor<4096x1024xf32>, %y: tensor<4096xf32>, %f: tensor<1024xf32>) -> tensor<1024xf32> {
  %r = linalg.generic {indexing_maps = [#in, affine_map<(d0, d1) -> (d1)>, #out], iterator_types = ["parallel", "reduction"]} ins(%x, %y : tensor<4096x1024xf32>, tensor<4096xf32>) outs(%f : tensor<1024xf32>) {
  ^bb0(%a: f32, %b: f32, %acc: f32):
    %p = arith.mulf %a, %b : f32
    %s = arith.addf %p, %acc : f32
    linalg.yield %s : f32
  } -> tensor<1024xf32>
  return %r : tensor<1024xf32>
}

// CHECK-LABEL: func.func @rows
// CHECK-NOT: tensor.expand_shape
func.func @rows(%x: tensor<1024x4096xf32>, %f: tensor<1024xf32>) -> tensor<1024xf32> {
  %r = linalg.generic {indexing_maps = [affine_map<(d0, d1) -> (d0, d1)>, #out], iterator_types = ["parallel", "reduction"]} ins(%x : tensor<1024x4096xf32>) outs(%f : tensor<1024xf32>) {
  ^bb0(%a: f32, %acc: f32):
    %s = arith.addf %a, %acc : f32
    linalg.yield %s : f32
  } -> tensor<1024xf32>
  return %r : tensor<1024xf32>
}
