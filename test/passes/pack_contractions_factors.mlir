// RUN: neo-opt --neo-pack-contractions=target=x86-64-v4 %s | FileCheck %s
// RUN: neo-opt --neo-pack-contractions=target=sapphirerapids %s | FileCheck %s --check-prefix=TILES

// The keys of 1000 tokens are twice as large as the first-level cache: they are put in panels, as weights are, the last
// one filled up with zeros. So are values, whose columns lie side by side already.
// CHECK-LABEL: func.func @keys
// CHECK: tensor.pad %{{.*}} low[0, 0, 0] high[24, 0, 0]
// CHECK: %[[PANELS:.*]] = linalg.generic {{.*}} outs(%{{.*}} : tensor<32x2x64x32xf32>)
// CHECK: linalg.generic {{.*}} ins(%{{.*}}, %[[PANELS]] : tensor<1000x2x64xf32>, tensor<32x2x64x32xf32>)
#m = affine_map<(h, m, n, k) -> (m, h, k)>
#n = affine_map<(h, m, n, k) -> (n, h, k)>
#o = affine_map<(h, m, n, k) -> (h, m, n)>
func.func @keys(%q: tensor<1000x2x64xf32>, %k: tensor<1000x2x64xf32>, %out: tensor<2x1000x1000xf32>) -> tensor<2x1000x1000xf32> {
  %r = linalg.generic {indexing_maps = [#m, #n, #o], iterator_types = ["parallel", "parallel", "parallel", "reduction"]}
      ins(%q, %k : tensor<1000x2x64xf32>, tensor<1000x2x64xf32>) outs(%out : tensor<2x1000x1000xf32>) {
  ^bb0(%a: f32, %b: f32, %c: f32):
    %0 = arith.mulf %a, %b : f32
    %1 = arith.addf %c, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<2x1000x1000xf32>
  return %r : tensor<2x1000x1000xf32>
}

// CHECK-LABEL: func.func @values
// CHECK: %[[PANELS:.*]] = linalg.generic {{.*}} outs(%{{.*}} : tensor<2x2x1000x32xf32>)
// CHECK: linalg.generic {{.*}} ins(%{{.*}}, %[[PANELS]] : tensor<2x1000x1000xf32>, tensor<2x2x1000x32xf32>)
#w = affine_map<(h, m, d, n) -> (h, m, n)>
#v = affine_map<(h, m, d, n) -> (n, h, d)>
#s = affine_map<(h, m, d, n) -> (m, h, d)>
func.func @values(%w: tensor<2x1000x1000xf32>, %v: tensor<1000x2x64xf32>, %out: tensor<1000x2x64xf32>) -> tensor<1000x2x64xf32> {
  %r = linalg.generic {indexing_maps = [#w, #v, #s], iterator_types = ["parallel", "parallel", "parallel", "reduction"]}
      ins(%w, %v : tensor<2x1000x1000xf32>, tensor<1000x2x64xf32>) outs(%out : tensor<1000x2x64xf32>) {
  ^bb0(%a: f32, %b: f32, %c: f32):
    %0 = arith.mulf %a, %b : f32
    %1 = arith.addf %c, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<1000x2x64xf32>
  return %r : tensor<1000x2x64xf32>
}

// Those of 100 tokens stay in the cache, and a few rows do not repay a copy.
// CHECK-LABEL: func.func @small
// CHECK: linalg.generic {{.*}} outs(%{{.*}} : tensor<2x64x100xf32>)
// CHECK-NOT: floordiv
func.func @small(%q: tensor<100x2x64xf32>, %k: tensor<100x2x64xf32>, %out: tensor<2x100x100xf32>) -> tensor<2x100x100xf32> {
  %r = linalg.generic {indexing_maps = [#m, #n, #o], iterator_types = ["parallel", "parallel", "parallel", "reduction"]}
      ins(%q, %k : tensor<100x2x64xf32>, tensor<100x2x64xf32>) outs(%out : tensor<2x100x100xf32>) {
  ^bb0(%a: f32, %b: f32, %c: f32):
    %0 = arith.mulf %a, %b : f32
    %1 = arith.addf %c, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<2x100x100xf32>
  return %r : tensor<2x100x100xf32>
}

// CHECK-LABEL: func.func @few
// CHECK-NOT: 2x2x1000x32
// CHECK: linalg.generic {{.*}} ins(%{{.*}}, %{{.*}} : tensor<2x16x1000xf32>, tensor<1000x2x64xf32>)
func.func @few(%w: tensor<2x16x1000xf32>, %v: tensor<1000x2x64xf32>, %out: tensor<16x2x64xf32>) -> tensor<16x2x64xf32> {
  %r = linalg.generic {indexing_maps = [#w, #v, #s], iterator_types = ["parallel", "parallel", "parallel", "reduction"]}
      ins(%w, %v : tensor<2x16x1000xf32>, tensor<1000x2x64xf32>) outs(%out : tensor<16x2x64xf32>) {
  ^bb0(%a: f32, %b: f32, %c: f32):
    %0 = arith.mulf %a, %b : f32
    %1 = arith.addf %c, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<16x2x64xf32>
  return %r : tensor<16x2x64xf32>
}

// An odd number of tokens is padded for tiles, in the columns of one product and in the sums of the other.
// TILES-LABEL: func.func @odd
// TILES: tensor.pad %{{.*}} low[0, 0, 0] high[27, 0, 0]
// TILES: %[[KEYS:.*]] = linalg.generic {{.*}} outs(%{{.*}} : tensor<7x2x32x32x2xbf16>)
// TILES: linalg.generic {{.*}} ins(%{{.*}}, %[[KEYS]] : tensor<197x2x64xbf16>, tensor<7x2x32x32x2xbf16>)
func.func @odd(%q: tensor<197x2x64xbf16>, %k: tensor<197x2x64xbf16>, %out: tensor<2x197x197xf32>) -> tensor<2x197x197xf32> {
  %r = linalg.generic {indexing_maps = [#m, #n, #o], iterator_types = ["parallel", "parallel", "parallel", "reduction"]}
      ins(%q, %k : tensor<197x2x64xbf16>, tensor<197x2x64xbf16>) outs(%out : tensor<2x197x197xf32>) {
  ^bb0(%a: bf16, %b: bf16, %c: f32):
    %0 = arith.extf %a : bf16 to f32
    %1 = arith.extf %b : bf16 to f32
    %2 = arith.mulf %0, %1 : f32
    %3 = arith.addf %c, %2 : f32
    linalg.yield %3 : f32
  } -> tensor<2x197x197xf32>
  return %r : tensor<2x197x197xf32>
}

// TILES-LABEL: func.func @odd_sums
// TILES: tensor.pad %{{.*}} high[0, 0, 13]
// TILES: linalg.generic {{.*}} ins(%{{.*}}, %{{.*}} : tensor<2x197x210xbf16>, tensor<2x2x105x32x2xbf16>)
func.func @odd_sums(%w: tensor<2x197x197xbf16>, %v: tensor<197x2x64xbf16>, %out: tensor<197x2x64xf32>) -> tensor<197x2x64xf32> {
  %r = linalg.generic {indexing_maps = [#w, #v, #s], iterator_types = ["parallel", "parallel", "parallel", "reduction"]}
      ins(%w, %v : tensor<2x197x197xbf16>, tensor<197x2x64xbf16>) outs(%out : tensor<197x2x64xf32>) {
  ^bb0(%a: bf16, %b: bf16, %c: f32):
    %0 = arith.extf %a : bf16 to f32
    %1 = arith.extf %b : bf16 to f32
    %2 = arith.mulf %0, %1 : f32
    %3 = arith.addf %c, %2 : f32
    linalg.yield %3 : f32
  } -> tensor<197x2x64xf32>
  return %r : tensor<197x2x64xf32>
}
