// RUN: neo-opt --neo-schedule=target=x86-64-v3 %s | FileCheck %s

// Four points of a row make two results: pairs of bytes, each widened by zeros, which the second result takes by weights
// one word further on. 80 channels are three vectors, the last from channel 48 on.
// CHECK-LABEL: func.func @window
// CHECK-SAME:    neo.schedule = "depthwise_words"
// CHECK:         %[[FILTERS:.*]] = memref.alloca() {{.*}} : memref<16x32xi8>
// CHECK:         scf.for
// CHECK:           arith.minsi %{{.*}}, %c48
// CHECK:           vector.shuffle {{.*}} [0, 32, 1, 33, {{.*}} : vector<32xi8>
// CHECK:           %[[WEIGHTS:.*]] = arith.shrsi {{.*}} : vector<16xi16>
// CHECK:           %[[BYTES:.*]] = vector.bitcast %[[WEIGHTS]]
// CHECK:           vector.store %[[BYTES]], %[[FILTERS]]
// CHECK:           scf.for
// CHECK:             %[[PAIR:.*]] = vector.shuffle {{.*}} [0, 32, 1, 33, {{.*}} : vector<32xi8>
// CHECK:             vector.shuffle %[[PAIR]], %cst{{.*}} [0, 32, 1, 33, {{.*}} : vector<32xi8>
// CHECK:             vector.load %[[FILTERS]][%c0, %c0]
// CHECK:             %[[PRODUCT:.*]] = llvm.call @llvm.x86.avx2.pmadd.wd
// CHECK-NEXT:        arith.addi %{{.*}}, %[[PRODUCT]] : vector<8xi32>
// CHECK:             vector.load %[[FILTERS]][%c8, %c0]
// CHECK:             llvm.call @llvm.x86.avx2.pmadd.wd
// CHECK-NOT:         arith.shrsi
// CHECK:             llvm.call @llvm.x86.avx2.packssdw
// CHECK:             %[[BYTES:.*]] = llvm.call @llvm.x86.avx2.packuswb
// CHECK:             vector.store %[[BYTES]], {{.*}} : memref<6x2x80xi8>, vector<32xi8>
#source = affine_map<(d0, d1, d2, d3, d4) -> (d0 + d3, d1 + d4, d2)>
#filter = affine_map<(d0, d1, d2, d3, d4) -> (d3, d4, d2)>
#sums = affine_map<(d0, d1, d2, d3, d4) -> (d0, d1, d2)>
#id = affine_map<(d0, d1, d2) -> (d0, d1, d2)>
#channel = affine_map<(d0, d1, d2) -> (d2)>
func.func @window(%x: tensor<6x4x80xi8>, %w: tensor<1x3x80xi8>, %scale: tensor<80xf32>, %out: tensor<6x2x80xi8>) -> tensor<6x2x80xi8> {
  %zero = arith.constant 0 : i32
  %low = arith.constant 0.0 : f32
  %high = arith.constant 255.0 : f32
  %magic = arith.constant 0x4B400000 : f32
  %e = tensor.empty() : tensor<6x2x80xi32>
  %f = linalg.fill ins(%zero : i32) outs(%e : tensor<6x2x80xi32>) -> tensor<6x2x80xi32>
  %c = linalg.generic {indexing_maps = [#source, #filter, #sums], iterator_types = ["parallel", "parallel", "parallel", "reduction", "reduction"]} ins(%x, %w : tensor<6x4x80xi8>, tensor<1x3x80xi8>) outs(%f : tensor<6x2x80xi32>) {
  ^bb0(%p: i8, %q: i8, %s: i32):
    %0 = arith.extui %p : i8 to i32
    %1 = arith.extsi %q : i8 to i32
    %2 = arith.muli %0, %1 : i32
    %3 = arith.addi %s, %2 : i32
    linalg.yield %3 : i32
  } -> tensor<6x2x80xi32>
  %r = linalg.generic {indexing_maps = [#id, #channel, #id], iterator_types = ["parallel", "parallel", "parallel"]} ins(%c, %scale : tensor<6x2x80xi32>, tensor<80xf32>) outs(%out : tensor<6x2x80xi8>) {
  ^bb0(%s: i32, %t: f32, %o: i8):
    %0 = arith.sitofp %s : i32 to f32
    %1 = arith.mulf %0, %t : f32
    %2 = arith.cmpf ogt, %1, %low : f32
    %3 = arith.select %2, %1, %low : f32
    %4 = arith.cmpf olt, %3, %high : f32
    %5 = arith.select %4, %3, %high : f32
    %6 = arith.addf %5, %magic : f32
    %7 = arith.bitcast %6 : f32 to i32
    %8 = arith.trunci %7 : i32 to i8
    linalg.yield %8 : i8
  } -> tensor<6x2x80xi8>
  return %r : tensor<6x2x80xi8>
}

// Bytes with a sign become the upper halves of words, and sums are shifted back.
// CHECK-LABEL: func.func @signed
// CHECK-SAME:    neo.schedule = "depthwise_words"
// CHECK:           scf.for
// CHECK:             %[[PAIR:.*]] = vector.shuffle {{.*}} [0, 32, 1, 33, {{.*}} : vector<32xi8>
// CHECK:             vector.shuffle %cst{{.*}}, %[[PAIR]] [0, 32, 1, 33, {{.*}} : vector<32xi8>
// CHECK:             llvm.call @llvm.x86.avx2.pmadd.wd
// CHECK:             arith.shrsi %{{.*}} : vector<8xi32>
// CHECK:             llvm.call @llvm.x86.avx2.packsswb
func.func @signed(%x: tensor<6x4x80xi8>, %w: tensor<1x3x80xi8>, %scale: tensor<80xf32>, %out: tensor<6x2x80xi8>) -> tensor<6x2x80xi8> {
  %zero = arith.constant 0 : i32
  %low = arith.constant -128.0 : f32
  %high = arith.constant 127.0 : f32
  %magic = arith.constant 0x4B400000 : f32
  %e = tensor.empty() : tensor<6x2x80xi32>
  %f = linalg.fill ins(%zero : i32) outs(%e : tensor<6x2x80xi32>) -> tensor<6x2x80xi32>
  %c = linalg.generic {indexing_maps = [#source, #filter, #sums], iterator_types = ["parallel", "parallel", "parallel", "reduction", "reduction"]} ins(%x, %w : tensor<6x4x80xi8>, tensor<1x3x80xi8>) outs(%f : tensor<6x2x80xi32>) {
  ^bb0(%p: i8, %q: i8, %s: i32):
    %0 = arith.extsi %p : i8 to i32
    %1 = arith.extsi %q : i8 to i32
    %2 = arith.muli %0, %1 : i32
    %3 = arith.addi %s, %2 : i32
    linalg.yield %3 : i32
  } -> tensor<6x2x80xi32>
  %r = linalg.generic {indexing_maps = [#id, #channel, #id], iterator_types = ["parallel", "parallel", "parallel"]} ins(%c, %scale : tensor<6x2x80xi32>, tensor<80xf32>) outs(%out : tensor<6x2x80xi8>) {
  ^bb0(%s: i32, %t: f32, %o: i8):
    %0 = arith.sitofp %s : i32 to f32
    %1 = arith.mulf %0, %t : f32
    %2 = arith.cmpf ogt, %1, %low : f32
    %3 = arith.select %2, %1, %low : f32
    %4 = arith.cmpf olt, %3, %high : f32
    %5 = arith.select %4, %3, %high : f32
    %6 = arith.addf %5, %magic : f32
    %7 = arith.bitcast %6 : f32 to i32
    %8 = arith.trunci %7 : i32 to i8
    linalg.yield %8 : i8
  } -> tensor<6x2x80xi8>
  return %r : tensor<6x2x80xi8>
}
