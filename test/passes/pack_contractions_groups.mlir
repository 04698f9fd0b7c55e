// RUN: neo-opt --neo-pack-contractions=target=sapphirerapids %s | FileCheck %s
// RUN: neo-opt --neo-pack-contractions=target=znver4 %s | FileCheck %s --check-prefix=VECTORS
// RUN: neo-opt --neo-pack-contractions=target=x86-64-v3 %s | FileCheck %s --check-prefixes=PLAIN,WORDS

// For a dot-product unit neighbouring channels lie side by side in a panel; without one, panels are as for f32.
// CHECK: #[[PACKED:.*]] = affine_map<(d0, d1, d2) -> (d1 floordiv 32, d2 floordiv 2, d1 mod 32, d2 mod 2)>
// CHECK-LABEL: func.func @product
// CHECK: tensor.pad %{{.*}} low[0, 0] high[0, 24]
// CHECK: tensor.expand_shape %{{.*}} {{\[}}[0], [1, 2]] output_shape [8, 2, 32]
// CHECK: tensor.expand_shape %{{.*}} {{\[}}[0, 1], [2], [3]] output_shape [4, 2, 2, 32]
// CHECK: linalg.generic {{.*}} outs(%{{.*}} : tensor<2x4x32x2xbf16>)
// CHECK: linalg.generic {indexing_maps = [#{{.*}}, #[[PACKED]], #{{.*}}]
// PLAIN: affine_map<(d0, d1, d2) -> (d1 floordiv 8, d2, d1 mod 8)>
#a = affine_map<(d0, d1, d2) -> (d0, d2)>
#b = affine_map<(d0, d1, d2) -> (d2, d1)>
#c = affine_map<(d0, d1, d2) -> (d0, d1)>
ml_program.global private @w(#ml_program.extern) : tensor<8x40xbf16>
func.func @product(%x: tensor<4x8xbf16>) -> tensor<4x40xf32> {
  %zero = arith.constant 0.0 : f32
  %w = ml_program.global_load_const @w : tensor<8x40xbf16>
  %e = tensor.empty() : tensor<4x40xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<4x40xf32>) -> tensor<4x40xf32>
  %c = linalg.generic {indexing_maps = [#a, #b, #c], iterator_types = ["parallel", "parallel", "reduction"]} ins(%x, %w : tensor<4x8xbf16>, tensor<8x40xbf16>) outs(%f : tensor<4x40xf32>) {
  ^bb0(%p: bf16, %q: bf16, %s: f32):
    %0 = arith.extf %p : bf16 to f32
    %1 = arith.extf %q : bf16 to f32
    %2 = arith.mulf %0, %1 : f32
    %3 = arith.addf %s, %2 : f32
    linalg.yield %3 : f32
  } -> tensor<4x40xf32>
  return %c : tensor<4x40xf32>
}

// Three channels are padded to two groups of two, in the pad that is there already.
// CHECK-LABEL: func.func @stem
// CHECK: tensor.pad %{{.*}} low[1, 0] high[1, 1]
// CHECK: tensor<6x3xbf16> to tensor<8x4xbf16>
// CHECK: linalg.generic {{.*}} ins(%{{.*}}, %{{.*}} : tensor<8x4xbf16>, tensor<1x3x2x16x2xbf16>)
#sa = affine_map<(d0, d1, d2, d3) -> (d0 + d2, d3)>
#sb = affine_map<(d0, d1, d2, d3) -> (d1, d2, d3)>
#sc = affine_map<(d0, d1, d2, d3) -> (d0, d1)>
ml_program.global private @s(#ml_program.extern) : tensor<16x3x3xbf16>
func.func @stem(%x: tensor<6x3xbf16>) -> tensor<6x16xf32> {
  %zero = arith.constant 0.0 : f32
  %none = arith.constant 0.0 : bf16
  %w = ml_program.global_load_const @s : tensor<16x3x3xbf16>
  %p = tensor.pad %x low[1, 0] high[1, 0] {
  ^bb0(%i: index, %j: index):
    tensor.yield %none : bf16
  } : tensor<6x3xbf16> to tensor<8x3xbf16>
  %e = tensor.empty() : tensor<6x16xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<6x16xf32>) -> tensor<6x16xf32>
  %c = linalg.generic {indexing_maps = [#sa, #sb, #sc], iterator_types = ["parallel", "parallel", "reduction", "reduction"]} ins(%p, %w : tensor<8x3xbf16>, tensor<16x3x3xbf16>) outs(%f : tensor<6x16xf32>) {
  ^bb0(%p0: bf16, %q: bf16, %o: f32):
    %0 = arith.extf %p0 : bf16 to f32
    %1 = arith.extf %q : bf16 to f32
    %2 = arith.mulf %0, %1 : f32
    %3 = arith.addf %o, %2 : f32
    linalg.yield %3 : f32
  } -> tensor<6x16xf32>
  return %c : tensor<6x16xf32>
}

// What is no weight is packed too, for tiles; for vectors where many rows share it, and else transposed.
// CHECK-LABEL: func.func @keys
// VECTORS-LABEL: func.func @keys
// VECTORS: linalg.generic {{.*}} outs(%{{.*}} : tensor<8x64xbf16>)
// VECTORS: linalg.generic {{.*}} ins(%{{.*}}, %{{.*}} : tensor<4x8xbf16>, tensor<8x64xbf16>)
// CHECK: linalg.generic {{.*}} outs(%{{.*}} : tensor<2x4x32x2xbf16>)
// CHECK: linalg.generic {{.*}} ins(%{{.*}}, %{{.*}} : tensor<4x8xbf16>, tensor<2x4x32x2xbf16>)
#bt = affine_map<(d0, d1, d2) -> (d1, d2)>
func.func @keys(%q: tensor<4x8xbf16>, %k: tensor<64x8xbf16>) -> tensor<4x64xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<4x64xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<4x64xf32>) -> tensor<4x64xf32>
  %c = linalg.generic {indexing_maps = [#a, #bt, #c], iterator_types = ["parallel", "parallel", "reduction"]} ins(%q, %k : tensor<4x8xbf16>, tensor<64x8xbf16>) outs(%f : tensor<4x64xf32>) {
  ^bb0(%p: bf16, %x: bf16, %s: f32):
    %0 = arith.extf %p : bf16 to f32
    %1 = arith.extf %x : bf16 to f32
    %2 = arith.mulf %0, %1 : f32
    %3 = arith.addf %s, %2 : f32
    linalg.yield %3 : f32
  } -> tensor<4x64xf32>
  return %c : tensor<4x64xf32>
}

// VECTORS-LABEL: func.func @many_rows
// VECTORS: linalg.generic {{.*}} ins(%{{.*}}, %{{.*}} : tensor<16x8xbf16>, tensor<2x4x32x2xbf16>)
func.func @many_rows(%q: tensor<16x8xbf16>, %k: tensor<64x8xbf16>) -> tensor<16x64xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<16x64xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<16x64xf32>) -> tensor<16x64xf32>
  %c = linalg.generic {indexing_maps = [#a, #bt, #c], iterator_types = ["parallel", "parallel", "reduction"]} ins(%q, %k : tensor<16x8xbf16>, tensor<64x8xbf16>) outs(%f : tensor<16x64xf32>) {
  ^bb0(%p: bf16, %x: bf16, %s: f32):
    %0 = arith.extf %p : bf16 to f32
    %1 = arith.extf %x : bf16 to f32
    %2 = arith.mulf %0, %1 : f32
    %3 = arith.addf %s, %2 : f32
    linalg.yield %3 : f32
  } -> tensor<16x64xf32>
  return %c : tensor<16x64xf32>
}

// Bytes of any sign go in pairs to multiply-adds of words, where there is nothing for groups of four.
// WORDS-LABEL: func.func @bytes
// WORDS: linalg.generic {{.*}} outs(%{{.*}} : tensor<3x4x16x2xi8>)
// WORDS: linalg.generic {{.*}} ins(%{{.*}}, %{{.*}} : tensor<4x8xi8>, tensor<3x4x16x2xi8>)
ml_program.global private @u(#ml_program.extern) : tensor<8x40xi8>
func.func @bytes(%x: tensor<4x8xi8>) -> tensor<4x40xi32> {
  %zero = arith.constant 0 : i32
  %w = ml_program.global_load_const @u : tensor<8x40xi8>
  %e = tensor.empty() : tensor<4x40xi32>
  %f = linalg.fill ins(%zero : i32) outs(%e : tensor<4x40xi32>) -> tensor<4x40xi32>
  %c = linalg.generic {indexing_maps = [#a, #b, #c], iterator_types = ["parallel", "parallel", "reduction"]} ins(%x, %w : tensor<4x8xi8>, tensor<8x40xi8>) outs(%f : tensor<4x40xi32>) {
  ^bb0(%p: i8, %q: i8, %s: i32):
    %0 = arith.extui %p : i8 to i32
    %1 = arith.extui %q : i8 to i32
    %2 = arith.muli %0, %1 : i32
    %3 = arith.addi %s, %2 : i32
    linalg.yield %3 : i32
  } -> tensor<4x40xi32>
  return %c : tensor<4x40xi32>
}

// Tiles take equal steps of at most 32, and 578 has no even divisor below that but 2: it becomes 19 steps of 32.
// CHECK-LABEL: func.func @steps
// CHECK: tensor.pad %{{.*}} low[0, 0] high[0, 30]
// CHECK: linalg.generic {{.*}} ins(%{{.*}}, %{{.*}} : tensor<4x608xbf16>, tensor<1x304x32x2xbf16>)
// VECTORS-LABEL: func.func @steps
// VECTORS-NOT: tensor.pad
// VECTORS: linalg.generic {{.*}} ins(%{{.*}}, %{{.*}} : tensor<4x578xbf16>, tensor<1x289x32x2xbf16>)
ml_program.global private @long(#ml_program.extern) : tensor<578x32xbf16>
func.func @steps(%x: tensor<4x578xbf16>) -> tensor<4x32xf32> {
  %zero = arith.constant 0.0 : f32
  %w = ml_program.global_load_const @long : tensor<578x32xbf16>
  %e = tensor.empty() : tensor<4x32xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<4x32xf32>) -> tensor<4x32xf32>
  %c = linalg.generic {indexing_maps = [#a, #b, #c], iterator_types = ["parallel", "parallel", "reduction"]} ins(%x, %w : tensor<4x578xbf16>, tensor<578x32xbf16>) outs(%f : tensor<4x32xf32>) {
  ^bb0(%p: bf16, %q: bf16, %s: f32):
    %0 = arith.extf %p : bf16 to f32
    %1 = arith.extf %q : bf16 to f32
    %2 = arith.mulf %0, %1 : f32
    %3 = arith.addf %s, %2 : f32
    linalg.yield %3 : f32
  } -> tensor<4x32xf32>
  return %c : tensor<4x32xf32>
}
