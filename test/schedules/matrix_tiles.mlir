// RUN: neo-opt --neo-schedule=target=sapphirerapids %s | FileCheck %s

// 49 rows are two strips of 25, of two tiles each: the second begins with the last row of the first, which is finished
// once. The rows of one strip are finished between the products of the next, 13 a step of the reduction. 40 columns are a
// panel of two tiles and one of one.
// CHECK-LABEL: func.func @product
// CHECK-SAME:    neo.schedule = "matrix_tiles"
// CHECK:         %[[SUMS:.*]] = memref.alloca() {{.*}} : memref<32x32xf32>
// CHECK:         %[[SHAPES:.*]] = arith.constant dense<[1, 0, {{.*}} 13, 13, 12, 12, 13, 12, 16, 16, {{.*}}]> : tensor<64xi8>
// CHECK-DAG:     %[[LAST:.*]] = arith.constant 24 : index
// CHECK-DAG:     %[[ALL:.*]] = arith.constant 25 : index
// CHECK-DAG:     %[[SHARE:.*]] = arith.constant 13 : index
// CHECK:         llvm.call @llvm.x86.ldtilecfg
// CHECK:         scf.if
// CHECK:           scf.for
// CHECK:             %[[START:.*]] = arith.minsi %{{.*}}, %[[LAST]]
// CHECK:             %[[SKIP:.*]] = arith.subi %{{.*}}, %[[START]]
// CHECK:             %[[LIMIT:.*]] = arith.select %{{.*}}, %[[ALL]]
// CHECK:             scf.for
// CHECK:               %[[STEP:.*]] = arith.muli %{{.*}}, %[[SHARE]]
// CHECK:               %[[LOW:.*]] = arith.addi %[[STEP]], %[[SKIP]]
// CHECK:               %[[HIGH:.*]] = arith.minsi %{{.*}}, %[[LIMIT]]
// CHECK:               scf.for %[[ROW:.*]] = %[[LOW]] to %[[HIGH]]
// CHECK:                 vector.load %[[SUMS]][%[[ROW]]
// CHECK:                 %[[PLACE:.*]] = arith.addi %[[START]], %[[ROW]]
// CHECK:                 vector.store {{.*}}[%[[PLACE]], {{.*}} : memref<49x40xf32>, vector<16xf32>
// CHECK-COUNT-4:       llvm.call @llvm.x86.tileloadd64
// CHECK-COUNT-4:       llvm.call @llvm.x86.tdpbf16ps
// CHECK:             }
// CHECK-COUNT-4:     llvm.call @llvm.x86.tilestored64
// CHECK:           scf.for
// CHECK:             vector.load %[[SUMS]]
// CHECK:         llvm.call @llvm.x86.tilerelease
#a = affine_map<(d0, d1, d2) -> (d0, d2)>
#b = affine_map<(d0, d1, d2) -> (d1 floordiv 32, d2 floordiv 2, d1 mod 32, d2 mod 2)>
#c = affine_map<(d0, d1, d2) -> (d0, d1)>
func.func @product(%x: tensor<49x64xbf16>, %w: tensor<2x32x32x2xbf16>, %out: tensor<49x40xf32>) -> tensor<49x40xf32> {
  %zero = arith.constant 0.0 : f32
  %f = linalg.fill ins(%zero : f32) outs(%out : tensor<49x40xf32>) -> tensor<49x40xf32>
  %c = linalg.generic {indexing_maps = [#a, #b, #c], iterator_types = ["parallel", "parallel", "reduction"]} ins(%x, %w : tensor<49x64xbf16>, tensor<2x32x32x2xbf16>) outs(%f : tensor<49x40xf32>) {
  ^bb0(%p: bf16, %q: bf16, %s: f32):
    %0 = arith.extf %p : bf16 to f32
    %1 = arith.extf %q : bf16 to f32
    %2 = arith.mulf %0, %1 : f32
    %3 = arith.addf %s, %2 : f32
    linalg.yield %3 : f32
  } -> tensor<49x40xf32>
  return %c : tensor<49x40xf32>
}

// Rows of 32 make equal register tiles, of which the two panels pass by each before the next rows come.
// CHECK-LABEL: func.func @sequence
// CHECK-SAME:    across = 1
// CHECK:         %[[SUMS:.*]] = memref.alloca() {{.*}} : memref<32x32xi32>
// CHECK:         %[[COUNT:.*]] = arith.constant 4 : index
// CHECK:         llvm.call @llvm.x86.ldtilecfg
// CHECK:         scf.for %{{.*}} to %[[COUNT]]
// CHECK:           vector.load %[[SUMS]]
// CHECK-COUNT-4:   llvm.call @llvm.x86.tdpbusd
// CHECK-COUNT-4:   llvm.call @llvm.x86.tilestored64
// CHECK:         llvm.call @llvm.x86.tilerelease
#id = affine_map<(d0, d1) -> (d0, d1)>
#b4 = affine_map<(d0, d1, d2) -> (d1 floordiv 32, d2 floordiv 4, d1 mod 32, d2 mod 4)>
func.func @sequence(%x: tensor<64x64xi8>, %w: tensor<2x16x32x4xi8>, %out: tensor<64x64xi32>) -> tensor<64x64xi32> {
  %zero = arith.constant 0 : i32
  %f = linalg.fill ins(%zero : i32) outs(%out : tensor<64x64xi32>) -> tensor<64x64xi32>
  %c = linalg.generic {indexing_maps = [#a, #b4, #c], iterator_types = ["parallel", "parallel", "reduction"]} ins(%x, %w : tensor<64x64xi8>, tensor<2x16x32x4xi8>) outs(%f : tensor<64x64xi32>) {
  ^bb0(%p: i8, %q: i8, %s: i32):
    %0 = arith.extui %p : i8 to i32
    %1 = arith.extsi %q : i8 to i32
    %2 = arith.muli %0, %1 : i32
    %3 = arith.addi %s, %2 : i32
    linalg.yield %3 : i32
  } -> tensor<64x64xi32>
  return %c : tensor<64x64xi32>
}

// Two rows of two tiles are quantised together: narrowing clamps them, below at once and above after a clamp in f32.
// Such rows are finished behind the products of the next tile, and strips of 25 and 24 rows are of as many.
// CHECK-LABEL: func.func @quantised
// CHECK:         tensor<64xi8>
// CHECK:         scf.for
// CHECK-COUNT-4:   llvm.call @llvm.x86.avx512.mask.cvtps2dq.512
// CHECK-COUNT-2:   llvm.call @llvm.x86.avx512.packssdw.512
// CHECK:           llvm.call @llvm.x86.avx512.packuswb.512
// CHECK-COUNT-2:   vector.store {{.*}} : memref<49x32xi8>, vector<32xi8>
func.func @quantised(%x: tensor<49x64xi8>, %w: tensor<1x16x32x4xi8>, %out: tensor<49x32xi8>) -> tensor<49x32xi8> {
  %zero = arith.constant 0 : i32
  %scale = arith.constant 0.01 : f32
  %low = arith.constant 0.0 : f32
  %high = arith.constant 255.0 : f32
  %magic = arith.constant 0x4B400000 : f32
  %e = tensor.empty() : tensor<49x32xi32>
  %f = linalg.fill ins(%zero : i32) outs(%e : tensor<49x32xi32>) -> tensor<49x32xi32>
  %c = linalg.generic {indexing_maps = [#a, #b4, #c], iterator_types = ["parallel", "parallel", "reduction"]} ins(%x, %w : tensor<49x64xi8>, tensor<1x16x32x4xi8>) outs(%f : tensor<49x32xi32>) {
  ^bb0(%p: i8, %q: i8, %s: i32):
    %0 = arith.extui %p : i8 to i32
    %1 = arith.extsi %q : i8 to i32
    %2 = arith.muli %0, %1 : i32
    %3 = arith.addi %s, %2 : i32
    linalg.yield %3 : i32
  } -> tensor<49x32xi32>
  %r = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]} ins(%c : tensor<49x32xi32>) outs(%out : tensor<49x32xi8>) {
  ^bb0(%s: i32, %o: i8):
    %0 = arith.sitofp %s : i32 to f32
    %1 = arith.mulf %0, %scale : f32
    %2 = arith.cmpf ogt, %1, %low : f32
    %3 = arith.select %2, %1, %low : f32
    %4 = arith.cmpf olt, %3, %high : f32
    %5 = arith.select %4, %3, %high : f32
    %6 = arith.addf %5, %magic : f32
    %7 = arith.bitcast %6 : f32 to i32
    %8 = arith.trunci %7 : i32 to i8
    linalg.yield %8 : i8
  } -> tensor<49x32xi8>
  return %r : tensor<49x32xi8>
}
