// RUN: neo-opt --neo-quantize-weights="bits=8 target=x86-64-v4" %s | FileCheck %s --check-prefix=BYTES
// RUN: neo-opt --neo-quantize-weights="bits=4 group=16 target=x86-64-v4" --canonicalize %s | FileCheck %s
// RUN: neo-opt --neo-quantize-weights %s | FileCheck %s --check-prefix=NOTHING
// RUN: not neo-opt --neo-quantize-weights="bits=4 group=24" %s 2>&1 | FileCheck %s --check-prefix=GROUP
// RUN: not neo-opt --neo-quantize-weights="bits=3" %s 2>&1 | FileCheck %s --check-prefix=BITS

// GROUP: neo-quantize-weights: group=24 is no power of two of at least 16
// BITS: neo-quantize-weights: bits=3 is none of 0, 4, 8
// NOTHING-LABEL: func.func @main
// NOTHING-NOT:     i8

#a = affine_map<(d0, d1, d2) -> (d0, d2)>
#b = affine_map<(d0, d1, d2) -> (d1, d2)>
#c = affine_map<(d0, d1, d2) -> (d0, d1)>

ml_program.global private @w(#ml_program.extern) : tensor<40x64xf32>

// A column of 8-bit integers has one scale, behind the sums.
// BYTES-LABEL: func.func @main
// BYTES:         %[[Q:.*]] = linalg.generic {{.*}} outs(%{{.*}} : tensor<40x64xi8>)
// BYTES:           arith.divf
// BYTES:           math.roundeven
// BYTES:           arith.trunci
// BYTES:         %[[SUM:.*]] = linalg.generic {{.*}} ins(%arg0, %[[Q]] : tensor<5x64xf32>, tensor<40x64xi8>)
// BYTES:           arith.sitofp
// BYTES:         linalg.generic {{.*}} ins(%[[SUM]], %{{.*}} : tensor<5x40xf32>, tensor<40xf32>)

// Two neighbours along k are a byte of a panel of 64 columns, sixteen of them have a scale.
// CHECK-DAG:   #[[EVEN:.*]] = affine_map<(d0, d1, d2) -> (d0, d2 * 2)>
// CHECK-DAG:   #[[ODD:.*]] = affine_map<(d0, d1, d2) -> (d0, d2 * 2 + 1)>
// CHECK-DAG:   #[[Q:.*]] = affine_map<(d0, d1, d2) -> (d1 floordiv 64, d2, d1 mod 64)>
// CHECK-DAG:   #[[S:.*]] = affine_map<(d0, d1, d2) -> (d1 floordiv 64, d2 floordiv 8, d1 mod 64)>
// CHECK-LABEL: func.func @main
// CHECK:         arith.ori
// CHECK:         linalg.generic {indexing_maps = [#[[EVEN]], #[[Q]], #[[ODD]], #[[S]], {{.*}} ins(%arg0, %{{.*}}, %arg0, %{{.*}} : tensor<5x64xf32>, tensor<1x32x64xi8>, tensor<5x64xf32>, tensor<1x4x64xf32>)
// CHECK:           arith.andi
// CHECK:           arith.shrui
func.func @main(%x: tensor<5x64xf32>) -> tensor<5x40xf32> {
  %w = ml_program.global_load_const @w : tensor<40x64xf32>
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<5x40xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<5x40xf32>) -> tensor<5x40xf32>
  %r = linalg.generic {indexing_maps = [#a, #b, #c], iterator_types = ["parallel", "parallel", "reduction"]} ins(%x, %w : tensor<5x64xf32>, tensor<40x64xf32>) outs(%f : tensor<5x40xf32>) {
  ^bb0(%p: f32, %q: f32, %o: f32):
    %0 = arith.mulf %p, %q : f32
    %1 = arith.addf %o, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<5x40xf32>
  return %r : tensor<5x40xf32>
}
