// RUN: neo-opt --neo-schedule=target=icelake-server %s | FileCheck %s

// Five points of a row make two results: pairs of bytes, then fours, of which the first result takes the first three and
// the second the last three, by weights one byte further on. 80 channels are two vectors, the second from channel 16 on.
// CHECK-LABEL: func.func @window
// CHECK-SAME:    neo.schedule = "depthwise_bytes"
// CHECK:         %[[FILTERS:.*]] = memref.alloca() {{.*}} : memref<8x64xi8>
// CHECK:         scf.for
// CHECK:           arith.minsi %{{.*}}, %c16
// CHECK:           vector.shuffle {{.*}} [0, 64, 1, 65, {{.*}} : vector<64xi8>
// CHECK:           vector.shuffle {{.*}} [0, 32, 1, 33, 2, 34, 3, 35, 8, 40, {{.*}} : vector<32xi16>
// CHECK:           arith.shli
// CHECK:           vector.store %{{.*}}, %[[FILTERS]]
// CHECK:           scf.for
// CHECK:             vector.load %[[FILTERS]][%c0, %c0]
// CHECK-NEXT:        llvm.call @llvm.x86.avx512.vpdpbusd.512
// CHECK:             vector.load %[[FILTERS]][%c4, %c0]
// CHECK-NEXT:        llvm.call @llvm.x86.avx512.vpdpbusd.512
// CHECK:             %[[BYTES:.*]] = llvm.call @llvm.x86.avx512.packuswb.512
// CHECK:             vector.store %[[BYTES]], {{.*}} : memref<6x2x80xi8>, vector<64xi8>
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
