// RUN: neo-opt --neo-schedule=target=neoverse-v1 %s | FileCheck %s

// Seven rows are three pairs and one with zeros beside it; twelve columns are six pairs. The blocks become rows.
// CHECK-LABEL: func.func @integers
// CHECK-SAME:    neo.schedule = "mmla"
// CHECK-NOT:     memref.alloca
// CHECK:         %[[NONE:.*]] = arith.constant 0 : i64
// CHECK:         scf.for {{.*}} iter_args
// CHECK-COUNT-6:   llvm.load {{.*}} -> vector<16xi8>
// CHECK-COUNT-2:   llvm.load {{.*}} -> i64
// CHECK:           %[[PAIR:.*]] = vector.from_elements {{.*}} : vector<2xi64>
// CHECK:           %[[ROWS:.*]] = vector.bitcast %[[PAIR]] : vector<2xi64> to vector<16xi8>
// CHECK-COUNT-6:   arm_neon.intr.usmmla %{{.*}}, %[[ROWS]], %{{.*}} : vector<16xi8> to vector<4xi32>
// CHECK-COUNT-12:  arm_neon.intr.usmmla
// CHECK:           vector.from_elements %{{.*}}, %[[NONE]] : vector<2xi64>
// CHECK-COUNT-6:   arm_neon.intr.usmmla
// CHECK-NOT:       arm_neon
// CHECK:         vector.shuffle %[[SUM:.*]]#0, %[[SUM]]#1 [0, 1, 4, 5]
// CHECK:         vector.shuffle %[[SUM]]#0, %[[SUM]]#1 [2, 3, 6, 7]
// CHECK-COUNT-21: vector.store {{.*}} : memref<7x12xi32>, vector<4xi32>
#a = affine_map<(d0, d1, d2) -> (d0, d2)>
#b = affine_map<(d0, d1, d2) -> (d1 floordiv 12, d2 floordiv 8, d1 mod 12, d2 mod 8)>
#c = affine_map<(d0, d1, d2) -> (d0, d1)>
func.func @integers(%x: tensor<7x64xi8>, %w: tensor<1x8x12x8xi8>, %out: tensor<7x12xi32>) -> tensor<7x12xi32> {
  %zero = arith.constant 0 : i32
  %f = linalg.fill ins(%zero : i32) outs(%out : tensor<7x12xi32>) -> tensor<7x12xi32>
  %c = linalg.generic {indexing_maps = [#a, #b, #c], iterator_types = ["parallel", "parallel", "reduction"]} ins(%x, %w : tensor<7x64xi8>, tensor<1x8x12x8xi8>) outs(%f : tensor<7x12xi32>) {
  ^bb0(%p: i8, %q: i8, %s: i32):
    %0 = arith.extui %p : i8 to i32
    %1 = arith.extsi %q : i8 to i32
    %2 = arith.muli %0, %1 : i32
    %3 = arith.addi %s, %2 : i32
    linalg.yield %3 : i32
  } -> tensor<7x12xi32>
  return %c : tensor<7x12xi32>
}

// Thirteen rows are strips of four pairs and of three, of which the last is one row.
// CHECK-LABEL: func.func @bf16
// CHECK-SAME:    neo.schedule = "mmla"
// CHECK-COUNT-16:  arm_neon.intr.bfmmla %{{.*}} : vector<8xbf16> to vector<4xf32>
// CHECK-NOT:       arm_neon
// CHECK-COUNT-16:  vector.store {{.*}} : memref<13x8xf32>, vector<4xf32>
// CHECK-COUNT-12:  arm_neon.intr.bfmmla
// CHECK-NOT:       arm_neon
// CHECK-COUNT-10:  vector.store {{.*}} : memref<13x8xf32>, vector<4xf32>
#r = affine_map<(d0, d1, d2) -> (d1 floordiv 8, d2 floordiv 4, d1 mod 8, d2 mod 4)>
func.func @bf16(%x: tensor<13x32xbf16>, %w: tensor<1x8x8x4xbf16>, %out: tensor<13x8xf32>) -> tensor<13x8xf32> {
  %zero = arith.constant 0.0 : f32
  %f = linalg.fill ins(%zero : f32) outs(%out : tensor<13x8xf32>) -> tensor<13x8xf32>
  %c = linalg.generic {indexing_maps = [#a, #r, #c], iterator_types = ["parallel", "parallel", "reduction"]} ins(%x, %w : tensor<13x32xbf16>, tensor<1x8x8x4xbf16>) outs(%f : tensor<13x8xf32>) {
  ^bb0(%p: bf16, %q: bf16, %s: f32):
    %0 = arith.extf %p : bf16 to f32
    %1 = arith.extf %q : bf16 to f32
    %2 = arith.mulf %0, %1 : f32
    %3 = arith.addf %s, %2 : f32
    linalg.yield %3 : f32
  } -> tensor<13x8xf32>
  return %c : tensor<13x8xf32>
}
