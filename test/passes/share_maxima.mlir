// RUN: neo-opt --neo-share-maxima %s | FileCheck %s

#id = affine_map<(d0, d1) -> (d0, d1)>
#row = affine_map<(d0, d1) -> (d0)>

// One reduction is left, and a comparison of its result.
// CHECK-LABEL: func.func @main
// CHECK: %[[MAX:.*]] = linalg.generic {{.*}} "reduction"]
// CHECK: arith.maximumf
// CHECK-NOT: "reduction"
// CHECK: linalg.generic {{.*}} ins(%[[MAX]] : tensor<4xf32>)
// CHECK: arith.cmpf oeq
// CHECK-NOT: arith.andi
func.func @main(%x: tensor<4x8xf32>) -> (tensor<4xf32>, tensor<4xi1>) {
  %low = arith.constant 0xFF800000 : f32
  %true = arith.constant true
  %e = tensor.empty() : tensor<4xf32>
  %f = linalg.fill ins(%low : f32) outs(%e : tensor<4xf32>) -> tensor<4xf32>
  %m = linalg.generic {indexing_maps = [#id, #row], iterator_types = ["parallel", "reduction"]} ins(%x : tensor<4x8xf32>) outs(%f : tensor<4xf32>) {
  ^bb0(%in: f32, %out: f32):
    %0 = arith.maximumf %in, %out : f32
    linalg.yield %0 : f32
  } -> tensor<4xf32>
  %eb = tensor.empty() : tensor<4xi1>
  %fb = linalg.fill ins(%true : i1) outs(%eb : tensor<4xi1>) -> tensor<4xi1>
  %all = linalg.generic {indexing_maps = [#id, #row], iterator_types = ["parallel", "reduction"]} ins(%x : tensor<4x8xf32>) outs(%fb : tensor<4xi1>) {
  ^bb0(%in: f32, %out: i1):
    %0 = arith.cmpf oeq, %in, %low : f32
    %1 = arith.andi %0, %out : i1
    linalg.yield %1 : i1
  } -> tensor<4xi1>
  return %m, %all : tensor<4xf32>, tensor<4xi1>
}

// The comparison may stand in an operation of its own.
// CHECK-LABEL: func.func @apart
// CHECK: %[[MAX:.*]] = linalg.generic {{.*}} "reduction"]
// CHECK: arith.maximumf
// CHECK: linalg.generic {{.*}} ins(%[[MAX]] : tensor<4xf32>)
// CHECK: arith.cmpf oeq
// CHECK-NOT: arith.andi
func.func @apart(%x: tensor<4x8xf32>) -> (tensor<4xf32>, tensor<4xi1>) {
  %low = arith.constant 0xFF800000 : f32
  %true = arith.constant true
  %e = tensor.empty() : tensor<4xf32>
  %f = linalg.fill ins(%low : f32) outs(%e : tensor<4xf32>) -> tensor<4xf32>
  %m = linalg.generic {indexing_maps = [#id, #row], iterator_types = ["parallel", "reduction"]} ins(%x : tensor<4x8xf32>) outs(%f : tensor<4xf32>) {
  ^bb0(%in: f32, %out: f32):
    %0 = arith.maximumf %in, %out : f32
    linalg.yield %0 : f32
  } -> tensor<4xf32>
  %ec = tensor.empty() : tensor<4x8xi1>
  %c = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]} ins(%x : tensor<4x8xf32>) outs(%ec : tensor<4x8xi1>) {
  ^bb0(%in: f32, %out: i1):
    %0 = arith.cmpf oeq, %in, %low : f32
    linalg.yield %0 : i1
  } -> tensor<4x8xi1>
  %eb = tensor.empty() : tensor<4xi1>
  %fb = linalg.fill ins(%true : i1) outs(%eb : tensor<4xi1>) -> tensor<4xi1>
  %all = linalg.generic {indexing_maps = [#id, #row], iterator_types = ["parallel", "reduction"]} ins(%c : tensor<4x8xi1>) outs(%fb : tensor<4xi1>) {
  ^bb0(%in: i1, %out: i1):
    %0 = arith.andi %in, %out : i1
    linalg.yield %0 : i1
  } -> tensor<4xi1>
  return %m, %all : tensor<4xf32>, tensor<4xi1>
}

// Whether no element is -inf is another question.
// CHECK-LABEL: func.func @other
// CHECK: arith.cmpf une
// CHECK: arith.andi
func.func @other(%x: tensor<4x8xf32>) -> (tensor<4xf32>, tensor<4xi1>) {
  %low = arith.constant 0xFF800000 : f32
  %true = arith.constant true
  %e = tensor.empty() : tensor<4xf32>
  %f = linalg.fill ins(%low : f32) outs(%e : tensor<4xf32>) -> tensor<4xf32>
  %m = linalg.generic {indexing_maps = [#id, #row], iterator_types = ["parallel", "reduction"]} ins(%x : tensor<4x8xf32>) outs(%f : tensor<4xf32>) {
  ^bb0(%in: f32, %out: f32):
    %0 = arith.maximumf %in, %out : f32
    linalg.yield %0 : f32
  } -> tensor<4xf32>
  %ec = tensor.empty() : tensor<4x8xi1>
  %c = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]} ins(%x : tensor<4x8xf32>) outs(%ec : tensor<4x8xi1>) {
  ^bb0(%in: f32, %out: i1):
    %0 = arith.cmpf une, %in, %low : f32
    linalg.yield %0 : i1
  } -> tensor<4x8xi1>
  %eb = tensor.empty() : tensor<4xi1>
  %fb = linalg.fill ins(%true : i1) outs(%eb : tensor<4xi1>) -> tensor<4xi1>
  %all = linalg.generic {indexing_maps = [#id, #row], iterator_types = ["parallel", "reduction"]} ins(%c : tensor<4x8xi1>) outs(%fb : tensor<4xi1>) {
  ^bb0(%in: i1, %out: i1):
    %0 = arith.andi %in, %out : i1
    linalg.yield %0 : i1
  } -> tensor<4xi1>
  return %m, %all : tensor<4xf32>, tensor<4xi1>
}
