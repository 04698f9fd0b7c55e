// RUN: neo-opt --neo-form-kernels=scores=16384 %s | FileCheck %s

// Scores in f32 and weights in bf16, which a pad makes whole pairs, and panels of pairs: one kernel.
// CHECK-LABEL: func.func @attention
// CHECK:         call @attention_
// CHECK-NOT:     call
// CHECK:         return
#rows = affine_map<(d0, d1, d2, d3) -> (d0, d1, d3)>
#panels = affine_map<(d0, d1, d2, d3) -> (d2 floordiv 32, d0, d3 floordiv 2, d2 mod 32, d3 mod 2)>
#out = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2)>
#all = affine_map<(d0, d1, d2) -> (d0, d1, d2)>
#row = affine_map<(d0, d1, d2) -> (d0, d1)>
#numbers = affine_map<(d0, d1) -> (d0, d1)>
func.func @attention(%q: tensor<2x33x32xbf16>, %k: tensor<2x2x16x32x2xbf16>, %v: tensor<1x2x17x32x2xbf16>) -> tensor<2x33x32xf32> {
  %result = tensor.empty() : tensor<2x33x32xf32>
  %cst = arith.constant 0.000000e+00 : f32
  %0 = tensor.empty() : tensor<2x33x33xf32>
  %1 = linalg.fill ins(%cst : f32) outs(%0 : tensor<2x33x33xf32>) -> tensor<2x33x33xf32>
  %2 = linalg.generic {indexing_maps = [#rows, #panels, #out], iterator_types = ["parallel", "parallel", "parallel", "reduction"]} ins(%q, %k : tensor<2x33x32xbf16>, tensor<2x2x16x32x2xbf16>) outs(%1 : tensor<2x33x33xf32>) {
  ^bb0(%in: bf16, %in_4: bf16, %out: f32):
    %22 = arith.extf %in_4 : bf16 to f32
    %23 = arith.extf %in : bf16 to f32
    %24 = arith.mulf %23, %22 : f32
    %25 = arith.addf %out, %24 : f32
    linalg.yield %25 : f32
  } -> tensor<2x33x33xf32>
  %3 = tensor.empty() : tensor<2x33x33xf32>
  %cst_0 = arith.constant 0.176776707 : f32
  %4 = linalg.generic {indexing_maps = [#all, #all], iterator_types = ["parallel", "parallel", "parallel"]} ins(%2 : tensor<2x33x33xf32>) outs(%3 : tensor<2x33x33xf32>) {
  ^bb0(%in: f32, %out: f32):
    %22 = arith.mulf %in, %cst_0 : f32
    linalg.yield %22 : f32
  } -> tensor<2x33x33xf32>
  %cst_1 = arith.constant 0xFF800000 : f32
  %5 = tensor.empty() : tensor<2x33xf32>
  %6 = linalg.fill ins(%cst_1 : f32) outs(%5 : tensor<2x33xf32>) -> tensor<2x33xf32>
  %7 = linalg.generic {indexing_maps = [#all, #row], iterator_types = ["parallel", "parallel", "reduction"]} ins(%4 : tensor<2x33x33xf32>) outs(%6 : tensor<2x33xf32>) {
  ^bb0(%in: f32, %out: f32):
    %22 = arith.maximumf %in, %out : f32
    linalg.yield %22 : f32
  } -> tensor<2x33xf32>
  %8 = tensor.empty() : tensor<2x33x33xf32>
  %9 = tensor.empty() : tensor<2x33x33xbf16>
  %10:2 = linalg.generic {indexing_maps = [#all, #row, #all, #all], iterator_types = ["parallel", "parallel", "parallel"]} ins(%4, %7 : tensor<2x33x33xf32>, tensor<2x33xf32>) outs(%8, %9 : tensor<2x33x33xf32>, tensor<2x33x33xbf16>) {
  ^bb0(%in: f32, %in_4: f32, %out: f32, %out_5: bf16):
    %22 = arith.subf %in, %in_4 : f32
    %23 = math.exp %22 fastmath<afn> : f32
    %24 = arith.truncf %23 : f32 to bf16
    linalg.yield %23, %24 : f32, bf16
  } -> (tensor<2x33x33xf32>, tensor<2x33x33xbf16>)
  %11 = tensor.empty() : tensor<2x33xf32>
  %12 = linalg.fill ins(%cst : f32) outs(%11 : tensor<2x33xf32>) -> tensor<2x33xf32>
  %13 = linalg.generic {indexing_maps = [#all, #row], iterator_types = ["parallel", "parallel", "reduction"]} ins(%10#0 : tensor<2x33x33xf32>) outs(%12 : tensor<2x33xf32>) {
  ^bb0(%in: f32, %out: f32):
    %22 = arith.addf %in, %out : f32
    linalg.yield %22 : f32
  } -> tensor<2x33xf32>
  %14 = tensor.empty() : tensor<2x33xf32>
  %cst_2 = arith.constant 1.000000e+00 : f32
  %15 = linalg.generic {indexing_maps = [#numbers, #numbers], iterator_types = ["parallel", "parallel"]} ins(%13 : tensor<2x33xf32>) outs(%14 : tensor<2x33xf32>) {
  ^bb0(%in: f32, %out: f32):
    %22 = arith.divf %cst_2, %in : f32
    linalg.yield %22 : f32
  } -> tensor<2x33xf32>
  %16 = tensor.empty() : tensor<2x33xi1>
  %17 = linalg.generic {indexing_maps = [#numbers, #numbers], iterator_types = ["parallel", "parallel"]} ins(%7 : tensor<2x33xf32>) outs(%16 : tensor<2x33xi1>) {
  ^bb0(%in: f32, %out: i1):
    %22 = arith.cmpf oeq, %in, %cst_1 : f32
    linalg.yield %22 : i1
  } -> tensor<2x33xi1>
  %cst_3 = arith.constant 0.000000e+00 : bf16
  %padded = tensor.pad %10#1 low[0, 0, 0] high[0, 0, 1] {
  ^bb0(%arg4: index, %arg5: index, %arg6: index):
    tensor.yield %cst_3 : bf16
  } : tensor<2x33x33xbf16> to tensor<2x33x34xbf16>
  %18 = tensor.empty() : tensor<2x33x32xf32>
  %19 = linalg.fill ins(%cst : f32) outs(%18 : tensor<2x33x32xf32>) -> tensor<2x33x32xf32>
  %20 = linalg.generic {indexing_maps = [#rows, #panels, #out], iterator_types = ["parallel", "parallel", "parallel", "reduction"]} ins(%padded, %v : tensor<2x33x34xbf16>, tensor<1x2x17x32x2xbf16>) outs(%19 : tensor<2x33x32xf32>) {
  ^bb0(%in: bf16, %in_4: bf16, %out: f32):
    %22 = arith.extf %in_4 : bf16 to f32
    %23 = arith.extf %in : bf16 to f32
    %24 = arith.mulf %23, %22 : f32
    %25 = arith.addf %out, %24 : f32
    linalg.yield %25 : f32
  } -> tensor<2x33x32xf32>
  %21 = linalg.generic {indexing_maps = [#row, #all, #row, #all], iterator_types = ["parallel", "parallel", "parallel"]} ins(%17, %20, %15 : tensor<2x33xi1>, tensor<2x33x32xf32>, tensor<2x33xf32>) outs(%result : tensor<2x33x32xf32>) {
  ^bb0(%in: i1, %in_4: f32, %in_5: f32, %out: f32):
    %22 = arith.mulf %in_4, %in_5 : f32
    %23 = arith.select %in, %cst, %22 : f32
    linalg.yield %23 : f32
  } -> tensor<2x33x32xf32>
  return %21 : tensor<2x33x32xf32>
}
