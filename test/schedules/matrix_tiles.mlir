// RUN: neo-opt --neo-schedule=target=sapphirerapids %s | FileCheck %s

// 49 rows are strips of 25 and 24, of two tiles each; 40 columns are a panel of two tiles and one of one.
// CHECK-LABEL: func.func @product
// CHECK-SAME:    neo.schedule = "matrix_tiles"
// CHECK:         %[[SUMS:.*]] = memref.alloca() {{.*}} : memref<32x32xf32>
// CHECK:         %[[SHAPES:.*]] = arith.constant dense<[1, 0, {{.*}} 13, 13, 12, 12, 13, 12, 16, 16, {{.*}}]> : tensor<64xi8>
// CHECK:         scf.if
// CHECK:           llvm.call @llvm.x86.ldtilecfg
// CHECK:           scf.for
// CHECK-COUNT-4:     llvm.call @llvm.x86.tileloadd64
// CHECK-COUNT-4:     llvm.call @llvm.x86.tdpbf16ps
// CHECK:           }
// CHECK-COUNT-4:   llvm.call @llvm.x86.tilestored64
// CHECK:           scf.for
// CHECK:             vector.load %[[SUMS]]
// CHECK:             vector.store {{.*}} : memref<49x40xf32>, vector<16xf32>
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
