// RUN: neo-opt --neo-schedule=target=x86-64-v4 %s | FileCheck %s

// 16 points at a time of two planes, as bytes, and two channels that only fill up are words; the border is one too.
// CHECK-LABEL: func.func @planes
// CHECK-SAME:    neo.schedule = "pixels"
// CHECK-DAG:     %[[FULL:.*]] = arith.constant dense<117899264> : vector<16xi32>
// CHECK-DAG:     %[[AROUND:.*]] = arith.constant dense<117901063> : vector<1xi32>
// CHECK:         vector.bitcast %[[AROUND]] : vector<1xi32> to vector<4xi8>
// CHECK:         scf.for
// CHECK:           %[[FIRST:.*]] = arith.extui %{{.*}} : vector<16xi8> to vector<16xi32>
// CHECK:           %[[ONE:.*]] = arith.ori %[[FULL]], %[[FIRST]]
// CHECK:           arith.extui
// CHECK:           %[[SECOND:.*]] = arith.shli
// CHECK:           arith.ori %[[ONE]], %[[SECOND]]
// CHECK:           vector.store %{{.*}} : memref<816xi8>, vector<64xi8>
#planes = affine_map<(d0, d1, d2) -> (d2, d0, d1)>
#points = affine_map<(d0, d1, d2) -> (d0, d1, d2)>
func.func @planes(%x: tensor<2x4x32xf32>, %out: tensor<6x34x4xi8>) -> tensor<6x34x4xi8> {
  %seven = arith.constant 7 : i8
  %e = tensor.empty() : tensor<4x32x2xi8>
  %q = linalg.generic {indexing_maps = [#planes, #points], iterator_types = ["parallel", "parallel", "parallel"]} ins(%x : tensor<2x4x32xf32>) outs(%e : tensor<4x32x2xi8>) {
  ^bb0(%p: f32, %o: i8):
    %0 = arith.fptosi %p : f32 to i8
    linalg.yield %0 : i8
  } -> tensor<4x32x2xi8>
  %r = tensor.pad %q low[1, 1, 0] high[1, 1, 2] {
  ^bb0(%i: index, %j: index, %k: index):
    tensor.yield %seven : i8
  } : tensor<4x32x2xi8> to tensor<6x34x4xi8>
  return %r : tensor<6x34x4xi8>
}

// What was cut off a number of 32 bits is masked there: it is not narrowed, and widened again.
// CHECK-LABEL: func.func @quantised
// CHECK-SAME:    neo.schedule = "pixels"
// CHECK-DAG:     %[[BYTE:.*]] = arith.constant dense<255> : vector<16xi32>
// CHECK:         arith.andi %{{.*}}, %[[BYTE]] : vector<16xi32>
// CHECK-NOT:     arith.extui
// CHECK:         return
func.func @quantised(%x: tensor<4x4x32xf32>, %out: tensor<4x32x4xi8>) -> tensor<4x32x4xi8> {
  %zero = arith.constant 3 : i32
  %q = linalg.generic {indexing_maps = [#planes, #points], iterator_types = ["parallel", "parallel", "parallel"]} ins(%x : tensor<4x4x32xf32>) outs(%out : tensor<4x32x4xi8>) {
  ^bb0(%p: f32, %o: i8):
    %0 = arith.bitcast %p : f32 to i32
    %1 = arith.addi %0, %zero : i32
    %2 = arith.trunci %1 : i32 to i8
    linalg.yield %2 : i8
  } -> tensor<4x32x4xi8>
  return %q : tensor<4x32x4xi8>
}
