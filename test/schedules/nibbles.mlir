// RUN: neo-opt --neo-schedule="target=x86-64-v4" %s | FileCheck %s

#even = affine_map<(d0, d1) -> (d1 * 2)>
#odd = affine_map<(d0, d1) -> (d1 * 2 + 1)>
#q = affine_map<(d0, d1) -> (d0 floordiv 64, d1, d0 mod 64)>
#s = affine_map<(d0, d1) -> (d0 floordiv 64, d1 floordiv 16, d0 mod 64)>
#c = affine_map<(d0, d1) -> (d0)>

// One row: a row of a panel is a vector of words of eight weights. Each is masked where it is; the power of two that it is
// then multiplied by, and the eights that were added, are taken off the sums of a group, for every fourth column.
// CHECK-LABEL: func.func @k
// CHECK-SAME:    neo.schedule = "nibbles"
// CHECK:         scf.for {{.*}} iter_args
// CHECK:           scf.for {{.*}} to %c16{{.*}} iter_args
// CHECK:             memref.prefetch
// CHECK:             %[[BYTES:.*]] = vector.load {{.*}} vector<64xi8>
// CHECK:             %[[WORDS:.*]] = vector.bitcast %[[BYTES]] : vector<64xi8> to vector<16xi32>
// CHECK-COUNT-7:     arith.andi %[[WORDS]]
// CHECK:             arith.shrui %[[WORDS]]
// CHECK:             arith.sitofp
// CHECK:             math.fma
// CHECK:             scf.yield
// CHECK:           vector.reduction <add>
// CHECK:           arith.mulf %{{.*}}, %{{.*}} : f32
// CHECK-COUNT-8:   vector.shuffle
// CHECK-COUNT-12:  math.fma
// CHECK:         vector.shuffle
// CHECK:         vector.store
func.func @k(%a: tensor<128xf32>, %q: tensor<2x64x64xi8>, %s: tensor<2x4x64xf32>, %out: tensor<128xf32>) -> tensor<128xf32> {
  %zero = arith.constant 0.0 : f32
  %c15 = arith.constant 15 : i32
  %c4 = arith.constant 4 : i32
  %c8 = arith.constant 8 : i32
  %f = linalg.fill ins(%zero : f32) outs(%out : tensor<128xf32>) -> tensor<128xf32>
  %r = linalg.generic {indexing_maps = [#even, #q, #odd, #s, #c], iterator_types = ["parallel", "reduction"]} ins(%a, %q, %a, %s : tensor<128xf32>, tensor<2x64x64xi8>, tensor<128xf32>, tensor<2x4x64xf32>) outs(%f : tensor<128xf32>) {
  ^bb0(%x: f32, %b: i8, %y: f32, %step: f32, %o: f32):
    %0 = arith.extui %b : i8 to i32
    %1 = arith.andi %0, %c15 : i32
    %2 = arith.shrui %0, %c4 : i32
    %3 = arith.subi %1, %c8 : i32
    %4 = arith.subi %2, %c8 : i32
    %5 = arith.sitofp %3 : i32 to f32
    %6 = arith.sitofp %4 : i32 to f32
    %7 = arith.mulf %x, %5 : f32
    %8 = arith.mulf %y, %6 : f32
    %9 = arith.addf %7, %8 : f32
    %10 = arith.mulf %9, %step : f32
    %11 = arith.addf %o, %10 : f32
    linalg.yield %11 : f32
  } -> tensor<128xf32>
  return %r : tensor<128xf32>
}

#meven = affine_map<(m, d0, d1) -> (m, d1 * 2)>
#modd = affine_map<(m, d0, d1) -> (m, d1 * 2 + 1)>
#mq = affine_map<(m, d0, d1) -> (d0 floordiv 64, d1, d0 mod 64)>
#ms = affine_map<(m, d0, d1) -> (d0 floordiv 64, d1 floordiv 16, d0 mod 64)>
#mc = affine_map<(m, d0, d1) -> (m, d0)>

// Many rows: the columns of a register tile are made floats in scratch memory before they pass by.
// CHECK-LABEL: func.func @many
// CHECK-SAME:    neo.schedule = "nibbles"
// CHECK:         %[[WIDE:.*]] = memref.alloca() {{.*}} : memref<64x2x32xf32>
// CHECK:         scf.forall
// CHECK:           arith.sitofp
// CHECK:           arith.mulf
// CHECK:           vector.store {{.*}}, %[[WIDE]]
// CHECK:           scf.for {{.*}} iter_args
// CHECK-NOT:         arith.sitofp
// CHECK:             vector.load %[[WIDE]]
// CHECK:             math.fma
func.func @many(%a: tensor<48x128xf32>, %q: tensor<2x64x64xi8>, %s: tensor<2x4x64xf32>, %out: tensor<48x128xf32>) -> tensor<48x128xf32> {
  %zero = arith.constant 0.0 : f32
  %c15 = arith.constant 15 : i32
  %c4 = arith.constant 4 : i32
  %c8 = arith.constant 8 : i32
  %f = linalg.fill ins(%zero : f32) outs(%out : tensor<48x128xf32>) -> tensor<48x128xf32>
  %r = linalg.generic {indexing_maps = [#meven, #mq, #modd, #ms, #mc], iterator_types = ["parallel", "parallel", "reduction"]} ins(%a, %q, %a, %s : tensor<48x128xf32>, tensor<2x64x64xi8>, tensor<48x128xf32>, tensor<2x4x64xf32>) outs(%f : tensor<48x128xf32>) {
  ^bb0(%x: f32, %b: i8, %y: f32, %step: f32, %o: f32):
    %0 = arith.extui %b : i8 to i32
    %1 = arith.andi %0, %c15 : i32
    %2 = arith.shrui %0, %c4 : i32
    %3 = arith.subi %1, %c8 : i32
    %4 = arith.subi %2, %c8 : i32
    %5 = arith.sitofp %3 : i32 to f32
    %6 = arith.sitofp %4 : i32 to f32
    %7 = arith.mulf %x, %5 : f32
    %8 = arith.mulf %y, %6 : f32
    %9 = arith.addf %7, %8 : f32
    %10 = arith.mulf %9, %step : f32
    %11 = arith.addf %o, %10 : f32
    linalg.yield %11 : f32
  } -> tensor<48x128xf32>
  return %r : tensor<48x128xf32>
}
