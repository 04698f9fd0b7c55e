// RUN: neo-opt --neo-winograd="target=x86-64-v4 use=4" --split-input-file %s | FileCheck %s
// RUN: neo-opt --neo-winograd="target=x86-64-v4 use=2" --split-input-file %s | FileCheck %s --check-prefix=SMALL
// RUN: neo-opt --neo-winograd="target=x86-64-v4" --split-input-file %s | FileCheck %s --check-prefix=AUTO
// RUN: neo-opt --neo-winograd="target=x86-64-v4 use=never" --split-input-file %s | FileCheck %s --check-prefix=NEVER

// Tiles of 4 x 4 results from 6 x 6 inputs. Nine rows are three tiles, so the pad grows from 11 to 14; the filters are
// transformed in double precision, from both sides; results are found in their tiles by quotient and remainder.
// CHECK-DAG:   #[[READ:.*]] = affine_map<(d0, d1, d2, d3, d4, d5, d6, d7) -> (d0, d1 * 4 + d6, d2 * 4 + d7, d5)>
// CHECK-DAG:   #[[TILE:.*]] = affine_map<(d0, d1, d2, d3, d4, d5) -> (d0, d1 floordiv 4, d2 floordiv 4, d4, d5, d3)>
// CHECK-DAG:   #[[ROW:.*]] = affine_map<(d0, d1, d2, d3, d4, d5) -> (d1 mod 4, d4)>
// CHECK-LABEL: func.func @main
// CHECK:         %[[G:.*]] = arith.constant dense<{{.*}}> : tensor<6x3xf64>
// CHECK:         linalg.generic {{.*}} outs(%{{.*}} : tensor<6x3x16x32xf64>)
// CHECK:         linalg.generic {{.*}} outs(%{{.*}} : tensor<6x6x16x32xf64>)
// CHECK:         arith.truncf %{{.*}} : f64 to f32
// CHECK:         tensor.pad %{{.*}} low[0, 1, 1, 0] high[0, 4, 2, 0]
// CHECK:         linalg.generic {indexing_maps = [#[[READ]], {{.*}} outs(%{{.*}} : tensor<1x3x4x6x6x16xf32>)
// CHECK:         linalg.generic {{.*}} outs(%{{.*}} : tensor<1x3x4x6x6x32xf32>)
// CHECK:         linalg.generic {indexing_maps = [#[[TILE]], #[[ROW]], {{.*}} outs(%{{.*}} : tensor<1x9x15x32xf32>)
// SMALL-LABEL: func.func @main
// SMALL:         tensor.pad %{{.*}} low[0, 1, 1, 0] high[0, 2, 2, 0]
// SMALL:         linalg.generic {{.*}} outs(%{{.*}} : tensor<1x5x8x4x4x32xf32>)
// NEVER-LABEL: func.func @main
// NEVER-COUNT-1: linalg.generic
// NEVER-NOT:   linalg.generic
// Too little work to gain anything.
// AUTO-LABEL:  func.func @main
// AUTO-COUNT-1: linalg.generic
// AUTO-NOT:    linalg.generic
#x = affine_map<(n, h, v, k, a, b, c) -> (n, h + a, v + b, c)>
#w = affine_map<(n, h, v, k, a, b, c) -> (k, c, a, b)>
#y = affine_map<(n, h, v, k, a, b, c) -> (n, h, v, k)>
ml_program.global private @w(#ml_program.extern) : tensor<32x16x3x3xf32>
func.func @main(%x: tensor<1x9x15x16xf32>) -> tensor<1x9x15x32xf32> {
  %zero = arith.constant 0.0 : f32
  %w = ml_program.global_load_const @w : tensor<32x16x3x3xf32>
  %p = tensor.pad %x low[0, 1, 1, 0] high[0, 1, 1, 0] {
  ^bb0(%i: index, %j: index, %k: index, %l: index):
    tensor.yield %zero : f32
  } : tensor<1x9x15x16xf32> to tensor<1x11x17x16xf32>
  %e = tensor.empty() : tensor<1x9x15x32xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<1x9x15x32xf32>) -> tensor<1x9x15x32xf32>
  %r = linalg.generic {indexing_maps = [#x, #w, #y], iterator_types = ["parallel", "parallel", "parallel", "parallel", "reduction", "reduction", "reduction"]}
      ins(%p, %w : tensor<1x11x17x16xf32>, tensor<32x16x3x3xf32>) outs(%f : tensor<1x9x15x32xf32>) {
  ^bb0(%p0: f32, %p1: f32, %acc: f32):
    %0 = arith.mulf %p0, %p1 : f32
    %1 = arith.addf %acc, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<1x9x15x32xf32>
  return %r : tensor<1x9x15x32xf32>
}

// -----

// A stride of two is none of its convolutions.
// CHECK-LABEL: func.func @stride
// NEVER-LABEL: func.func @stride
// AUTO-LABEL:  func.func @stride
// CHECK-COUNT-1: linalg.generic
// CHECK-NOT:   linalg.generic
#x = affine_map<(h, v, k, a, b, c) -> (h * 2 + a, v * 2 + b, c)>
#w = affine_map<(h, v, k, a, b, c) -> (k, c, a, b)>
#y = affine_map<(h, v, k, a, b, c) -> (h, v, k)>
ml_program.global private @w(#ml_program.extern) : tensor<32x16x3x3xf32>
func.func @stride(%x: tensor<17x17x16xf32>) -> tensor<8x8x32xf32> {
  %zero = arith.constant 0.0 : f32
  %w = ml_program.global_load_const @w : tensor<32x16x3x3xf32>
  %e = tensor.empty() : tensor<8x8x32xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<8x8x32xf32>) -> tensor<8x8x32xf32>
  %r = linalg.generic {indexing_maps = [#x, #w, #y], iterator_types = ["parallel", "parallel", "parallel", "reduction", "reduction", "reduction"]}
      ins(%x, %w : tensor<17x17x16xf32>, tensor<32x16x3x3xf32>) outs(%f : tensor<8x8x32xf32>) {
  ^bb0(%p0: f32, %p1: f32, %acc: f32):
    %0 = arith.mulf %p0, %p1 : f32
    %1 = arith.addf %acc, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<8x8x32xf32>
  return %r : tensor<8x8x32xf32>
}

// -----

// Filters that are no weights can't be transformed beforehand.
// CHECK-LABEL: func.func @filters
// CHECK-COUNT-1: linalg.generic
// CHECK-NOT:   linalg.generic
#x = affine_map<(h, v, k, a, b, c) -> (h + a, v + b, c)>
#w = affine_map<(h, v, k, a, b, c) -> (k, c, a, b)>
#y = affine_map<(h, v, k, a, b, c) -> (h, v, k)>
func.func @filters(%x: tensor<10x10x16xf32>, %w: tensor<32x16x3x3xf32>) -> tensor<8x8x32xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<8x8x32xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<8x8x32xf32>) -> tensor<8x8x32xf32>
  %r = linalg.generic {indexing_maps = [#x, #w, #y], iterator_types = ["parallel", "parallel", "parallel", "reduction", "reduction", "reduction"]}
      ins(%x, %w : tensor<10x10x16xf32>, tensor<32x16x3x3xf32>) outs(%f : tensor<8x8x32xf32>) {
  ^bb0(%p0: f32, %p1: f32, %acc: f32):
    %0 = arith.mulf %p0, %p1 : f32
    %1 = arith.addf %acc, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<8x8x32xf32>
  return %r : tensor<8x8x32xf32>
}

// -----

// Where there is work enough and the filters stay in the cache, F(4 x 4, 3 x 3) is taken by itself.
// CHECK-LABEL: func.func @large
// NEVER-LABEL: func.func @large
// NEVER-COUNT-1: linalg.generic
// NEVER-NOT:   linalg.generic
// AUTO-LABEL: func.func @large
// AUTO:         linalg.generic {{.*}} outs(%{{.*}} : tensor<7x7x6x6x64xf32>)
#x = affine_map<(h, v, k, a, b, c) -> (h + a, v + b, c)>
#w = affine_map<(h, v, k, a, b, c) -> (k, c, a, b)>
#y = affine_map<(h, v, k, a, b, c) -> (h, v, k)>
ml_program.global private @w(#ml_program.extern) : tensor<64x64x3x3xf32>
func.func @large(%x: tensor<30x30x64xf32>) -> tensor<28x28x64xf32> {
  %zero = arith.constant 0.0 : f32
  %w = ml_program.global_load_const @w : tensor<64x64x3x3xf32>
  %e = tensor.empty() : tensor<28x28x64xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<28x28x64xf32>) -> tensor<28x28x64xf32>
  %r = linalg.generic {indexing_maps = [#x, #w, #y], iterator_types = ["parallel", "parallel", "parallel", "reduction", "reduction", "reduction"]}
      ins(%x, %w : tensor<30x30x64xf32>, tensor<64x64x3x3xf32>) outs(%f : tensor<28x28x64xf32>) {
  ^bb0(%p0: f32, %p1: f32, %acc: f32):
    %0 = arith.mulf %p0, %p1 : f32
    %1 = arith.addf %acc, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<28x28x64xf32>
  return %r : tensor<28x28x64xf32>
}
