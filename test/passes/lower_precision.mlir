// RUN: neo-opt --neo-lower-precision="type=bf16 target=sapphirerapids" %s | FileCheck %s
// RUN: neo-opt --neo-lower-precision="type=f16 target=sapphirerapids" %s | FileCheck %s --check-prefix=HALF
// RUN: not neo-opt --neo-lower-precision=type=f8 %s 2>&1 | FileCheck %s --check-prefix=WRONG

// WRONG: neo-lower-precision: type=f8 is none of f32, bf16, f16
// HALF: arith.truncf %{{.*}} : f32 to f16

#a = affine_map<(d0, d1, d2) -> (d0, d2)>
#b = affine_map<(d0, d1, d2) -> (d2, d1)>
#c = affine_map<(d0, d1, d2) -> (d0, d1)>
#same = affine_map<(d0, d1) -> (d0, d1)>
ml_program.global private @w(#ml_program.extern) : tensor<8x8xf32>

// The argument and the weights are rounded; the sums are of f32. What the first product gives is rounded where the
// activation is made, for the second product to read. The sum in the end reads it unrounded, as long as it is small.
// CHECK-LABEL: func.func @residual(%{{.*}}: tensor<4x8xf32>) -> tensor<4x8xf32>
// CHECK:         %[[X:.*]] = linalg.generic {{.*}} ins(%{{.*}} : tensor<4x8xf32>) outs(%{{.*}} : tensor<4x8xbf16>)
// CHECK:           arith.truncf
// CHECK:         %[[W:.*]] = linalg.generic {{.*}} ins(%{{.*}} : tensor<8x8xf32>) outs(%{{.*}} : tensor<8x8xbf16>)
// CHECK:           arith.truncf
// CHECK:         %[[SUM:.*]] = linalg.generic {{.*}} ins(%[[X]], %[[W]] : tensor<4x8xbf16>, tensor<8x8xbf16>) outs(%{{.*}} : tensor<4x8xf32>)
// CHECK-COUNT-2:   arith.extf
// CHECK-NEXT:      arith.mulf {{.*}} : f32
// CHECK:         %[[Y:.*]]:2 = linalg.generic {{.*}} ins(%[[SUM]] : tensor<4x8xf32>) outs(%{{.*}}, %{{.*}} : tensor<4x8xf32>, tensor<4x8xbf16>)
// CHECK:           arith.maximumf {{.*}} : f32
// CHECK:           arith.truncf
// CHECK:         %[[Z:.*]] = linalg.generic {{.*}} ins(%[[Y]]#1, %[[W]] : tensor<4x8xbf16>, tensor<8x8xbf16>)
// CHECK:         linalg.generic {{.*}} ins(%[[Z]], %[[Y]]#0 : tensor<4x8xf32>, tensor<4x8xf32>) outs(%{{.*}} : tensor<4x8xf32>)
// CHECK:           arith.addf
// CHECK-NEXT:      linalg.yield
func.func @residual(%x: tensor<4x8xf32>) -> tensor<4x8xf32> {
  %zero = arith.constant 0.0 : f32
  %w = ml_program.global_load_const @w : tensor<8x8xf32>
  %e = tensor.empty() : tensor<4x8xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<4x8xf32>) -> tensor<4x8xf32>
  %s = linalg.generic {indexing_maps = [#a, #b, #c], iterator_types = ["parallel", "parallel", "reduction"]} ins(%x, %w : tensor<4x8xf32>, tensor<8x8xf32>) outs(%f : tensor<4x8xf32>) {
  ^bb0(%p: f32, %q: f32, %o: f32):
    %0 = arith.mulf %p, %q : f32
    %1 = arith.addf %o, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<4x8xf32>
  %y = linalg.generic {indexing_maps = [#same, #same], iterator_types = ["parallel", "parallel"]} ins(%s : tensor<4x8xf32>) outs(%e : tensor<4x8xf32>) {
  ^bb0(%p: f32, %o: f32):
    %0 = arith.maximumf %p, %zero : f32
    linalg.yield %0 : f32
  } -> tensor<4x8xf32>
  %t = linalg.generic {indexing_maps = [#a, #b, #c], iterator_types = ["parallel", "parallel", "reduction"]} ins(%y, %w : tensor<4x8xf32>, tensor<8x8xf32>) outs(%f : tensor<4x8xf32>) {
  ^bb0(%p: f32, %q: f32, %o: f32):
    %0 = arith.mulf %p, %q : f32
    %1 = arith.addf %o, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<4x8xf32>
  %r = linalg.generic {indexing_maps = [#same, #same, #same], iterator_types = ["parallel", "parallel"]} ins(%t, %y : tensor<4x8xf32>, tensor<4x8xf32>) outs(%e : tensor<4x8xf32>) {
  ^bb0(%p: f32, %q: f32, %o: f32):
    %0 = arith.addf %p, %q : f32
    linalg.yield %0 : f32
  } -> tensor<4x8xf32>
  return %r : tensor<4x8xf32>
}
