// RUN: neo-opt --neo-schedule=target=znver2 %s | FileCheck %s --check-prefix=FUSED
// RUN: neo-opt --neo-schedule=target=x86-64-v2 %s | FileCheck %s --check-prefix=APART

// Panels of three vectors on 16 registers: with multiply-adds four rows of sums, the columns and one number fill them;
// without, the product needs one more.
// FUSED-LABEL: func.func @product
// FUSED-SAME:    rows = 4 : i64, vectors = 3 : i64
func.func @product(%a: tensor<96x64xf32>, %b: tensor<4x64x24xf32>, %out: tensor<96x96xf32>) -> tensor<96x96xf32> {
  %zero = arith.constant 0.0 : f32
  %f = linalg.fill ins(%zero : f32) outs(%out : tensor<96x96xf32>) -> tensor<96x96xf32>
  %c = linalg.generic {
    indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n floordiv 24, k, n mod 24)>, affine_map<(m, n, k) -> (m, n)>],
    iterator_types = ["parallel", "parallel", "reduction"]
  } ins(%a, %b : tensor<96x64xf32>, tensor<4x64x24xf32>) outs(%f : tensor<96x96xf32>) {
  ^bb0(%x: f32, %y: f32, %acc: f32):
    %p = arith.mulf %x, %y : f32
    %s = arith.addf %acc, %p : f32
    linalg.yield %s : f32
  } -> tensor<96x96xf32>
  return %c : tensor<96x96xf32>
}

// APART-LABEL: func.func @narrow
// APART-SAME:    rows = 3 : i64, vectors = 3 : i64
func.func @narrow(%a: tensor<96x64xf32>, %b: tensor<8x64x12xf32>, %out: tensor<96x96xf32>) -> tensor<96x96xf32> {
  %zero = arith.constant 0.0 : f32
  %f = linalg.fill ins(%zero : f32) outs(%out : tensor<96x96xf32>) -> tensor<96x96xf32>
  %c = linalg.generic {
    indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n floordiv 12, k, n mod 12)>, affine_map<(m, n, k) -> (m, n)>],
    iterator_types = ["parallel", "parallel", "reduction"]
  } ins(%a, %b : tensor<96x64xf32>, tensor<8x64x12xf32>) outs(%f : tensor<96x96xf32>) {
  ^bb0(%x: f32, %y: f32, %acc: f32):
    %p = arith.mulf %x, %y : f32
    %s = arith.addf %acc, %p : f32
    linalg.yield %s : f32
  } -> tensor<96x96xf32>
  return %c : tensor<96x96xf32>
}
