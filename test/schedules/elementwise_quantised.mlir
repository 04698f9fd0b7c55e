// RUN: neo-opt --neo-schedule=target=x86-64-v3 %s | FileCheck %s

// Four vectors of f32 are narrowed to one of bytes by saturation. What is left of a row is cut into narrower vectors.
// CHECK-LABEL: func.func @quantise
// CHECK-SAME:    neo.schedule = "elementwise"
// CHECK:         scf.for
// CHECK:           %[[ROW:.*]] = vector.load {{.*}} vector<32xf32>
// CHECK:           %[[SCALED:.*]] = arith.mulf %[[ROW]]
// CHECK-COUNT-4:   vector.shuffle %[[SCALED]], %[[SCALED]] {{.*}} : vector<32xf32>
// CHECK:           llvm.call @llvm.x86.avx.cvt.ps2dq.256
// CHECK:           llvm.call @llvm.x86.avx2.packssdw
// CHECK:           llvm.call @llvm.sadd.sat.v16i16
// CHECK:           llvm.call @llvm.x86.avx2.packsswb
// CHECK:           vector.store {{.*}} vector<32xi8>
// CHECK:         vector.load {{.*}} vector<4xf32>
// CHECK-NOT:     maskedload
// CHECK:         return
#id = affine_map<(d0) -> (d0)>
func.func @quantise(%x: tensor<103xf32>, %out: tensor<103xi8>) -> tensor<103xi8> {
  %scale = arith.constant 10.0 : f32
  %low = arith.constant -131.0 : f32
  %high = arith.constant 124.0 : f32
  %magic = arith.constant 0x4B400000 : f32
  %zero = arith.constant 3 : i32
  %r = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel"]} ins(%x : tensor<103xf32>) outs(%out : tensor<103xi8>) {
  ^bb0(%s: f32, %o: i8):
    %1 = arith.mulf %s, %scale : f32
    %2 = arith.cmpf ogt, %1, %low : f32
    %3 = arith.select %2, %1, %low : f32
    %4 = arith.cmpf olt, %3, %high : f32
    %5 = arith.select %4, %3, %high : f32
    %6 = arith.addf %5, %magic : f32
    %7 = arith.bitcast %6 : f32 to i32
    %8 = arith.addi %7, %zero : i32
    %9 = arith.trunci %8 : i32 to i8
    linalg.yield %9 : i8
  } -> tensor<103xi8>
  return %r : tensor<103xi8>
}
