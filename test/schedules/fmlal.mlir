// RUN: neo-opt --neo-schedule=target=apple-m1 %s | FileCheck %s

// A vector of eight steps of each row; the last two of ten steps are taken one by one. Two halves of eight columns.
// CHECK-LABEL: func.func @product
// CHECK-SAME:    neo.schedule = "fmlal"
// CHECK-COUNT-4: llvm.load {{.*}} -> vector<8xf16>
// CHECK:         %[[LANE:.*]] = vector.shuffle %[[ROW:.*]], %[[ROW]] [0, 0, 0, 0, 0, 0, 0, 0]
// CHECK:         %[[COLUMNS:.*]] = llvm.load {{.*}} -> vector<8xf16>
// CHECK:         llvm.call @llvm.aarch64.neon.fmlal.v4f32.v8f16(%{{.*}}, %[[COLUMNS]], %[[LANE]])
// CHECK:         llvm.call @llvm.aarch64.neon.fmlal2.v4f32.v8f16(%{{.*}}, %[[COLUMNS]], %[[LANE]])
// CHECK:         scf.for {{.*}} iter_args
// CHECK:           %[[NUMBER:.*]] = llvm.load {{.*}} -> f16
// CHECK:           vector.broadcast %[[NUMBER]] : f16 to vector<8xf16>
// CHECK-COUNT-8:   llvm.call @llvm.aarch64.neon.fmlal
// CHECK-COUNT-8: vector.store {{.*}} : memref<4x8xf32>, vector<4xf32>
#a = affine_map<(d0, d1, d2) -> (d0, d2)>
#b = affine_map<(d0, d1, d2) -> (d1 floordiv 8, d2, d1 mod 8)>
#c = affine_map<(d0, d1, d2) -> (d0, d1)>
func.func @product(%x: tensor<4x10xf16>, %w: tensor<1x10x8xf16>, %out: tensor<4x8xf32>) -> tensor<4x8xf32> {
  %zero = arith.constant 0.0 : f32
  %f = linalg.fill ins(%zero : f32) outs(%out : tensor<4x8xf32>) -> tensor<4x8xf32>
  %c = linalg.generic {indexing_maps = [#a, #b, #c], iterator_types = ["parallel", "parallel", "reduction"]} ins(%x, %w : tensor<4x10xf16>, tensor<1x10x8xf16>) outs(%f : tensor<4x8xf32>) {
  ^bb0(%p: f16, %q: f16, %s: f32):
    %0 = arith.extf %p : f16 to f32
    %1 = arith.extf %q : f16 to f32
    %2 = arith.mulf %0, %1 : f32
    %3 = arith.addf %s, %2 : f32
    linalg.yield %3 : f32
  } -> tensor<4x8xf32>
  return %c : tensor<4x8xf32>
}

// Three rows are left to others.
// CHECK-LABEL: func.func @few
// CHECK-SAME:    neo.schedule = "contraction"
func.func @few(%x: tensor<3x10xf16>, %w: tensor<1x10x8xf16>, %out: tensor<3x8xf32>) -> tensor<3x8xf32> {
  %zero = arith.constant 0.0 : f32
  %f = linalg.fill ins(%zero : f32) outs(%out : tensor<3x8xf32>) -> tensor<3x8xf32>
  %c = linalg.generic {indexing_maps = [#a, #b, #c], iterator_types = ["parallel", "parallel", "reduction"]} ins(%x, %w : tensor<3x10xf16>, tensor<1x10x8xf16>) outs(%f : tensor<3x8xf32>) {
  ^bb0(%p: f16, %q: f16, %s: f32):
    %0 = arith.extf %p : f16 to f32
    %1 = arith.extf %q : f16 to f32
    %2 = arith.mulf %0, %1 : f32
    %3 = arith.addf %s, %2 : f32
    linalg.yield %3 : f32
  } -> tensor<3x8xf32>
  return %c : tensor<3x8xf32>
}
