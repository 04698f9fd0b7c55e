// RUN: neo-opt --neo-pack-contractions=target=x86-64-v3 %s | FileCheck %s
// RUN: neo-opt --neo-pack-contractions=target=znver4 %s | FileCheck %s --check-prefix=UNIT

// A weight that a loop reads is packed before the loop, once.
// CHECK-LABEL: func.func @main
// CHECK:         %[[PACKED:.*]] = linalg.generic {{.*}} outs(%{{.*}} : tensor<2x8x16xf32>)
// CHECK:         scf.for
// CHECK-NOT:       tensor.expand_shape
// CHECK:           linalg.generic {{.*}} ins(%{{.*}}, %[[PACKED]] : tensor<8xf32>, tensor<2x8x16xf32>)
#in = affine_map<(n, k) -> (k)>
#weight = affine_map<(n, k) -> (n, k)>
#out = affine_map<(n, k) -> (n)>
ml_program.global private @w(#ml_program.extern) : tensor<32x8xf32>
func.func @main(%h: tensor<8xf32>, %y: tensor<7x32xf32>) -> tensor<7x32xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c7 = arith.constant 7 : index
  %zero = arith.constant 0.0 : f32
  %w = ml_program.global_load_const @w : tensor<32x8xf32>
  %e = tensor.empty() : tensor<32xf32>
  %r = scf.for %t = %c0 to %c7 step %c1 iter_args(%old = %y) -> tensor<7x32xf32> {
    %f = linalg.fill ins(%zero : f32) outs(%e : tensor<32xf32>) -> tensor<32xf32>
    %sum = linalg.generic {indexing_maps = [#in, #weight, #out], iterator_types = ["parallel", "reduction"]} ins(%h, %w : tensor<8xf32>, tensor<32x8xf32>) outs(%f : tensor<32xf32>) {
    ^bb0(%a: f32, %b: f32, %o: f32):
      %0 = arith.mulf %a, %b : f32
      %1 = arith.addf %o, %0 : f32
      linalg.yield %1 : f32
    } -> tensor<32xf32>
    %new = tensor.insert_slice %sum into %old[%t, 0] [1, 32] [1, 1] : tensor<32xf32> into tensor<7x32xf32>
    scf.yield %new : tensor<7x32xf32>
  }
  return %r : tensor<7x32xf32>
}

// One that is no weight is put right before the loop.
// CHECK-LABEL: func.func @given
// CHECK:         %[[TURNED:.*]] = linalg.generic {{.*}} outs(%{{.*}} : tensor<8x32xf32>)
// CHECK:         scf.for
// CHECK:           linalg.generic {{.*}} ins(%{{.*}}, %[[TURNED]] : tensor<8xf32>, tensor<8x32xf32>)
func.func @given(%h: tensor<8xf32>, %w: tensor<32x8xf32>, %y: tensor<7x32xf32>) -> tensor<7x32xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c7 = arith.constant 7 : index
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<32xf32>
  %r = scf.for %t = %c0 to %c7 step %c1 iter_args(%old = %y) -> tensor<7x32xf32> {
    %f = linalg.fill ins(%zero : f32) outs(%e : tensor<32xf32>) -> tensor<32xf32>
    %sum = linalg.generic {indexing_maps = [#in, #weight, #out], iterator_types = ["parallel", "reduction"]} ins(%h, %w : tensor<8xf32>, tensor<32x8xf32>) outs(%f : tensor<32xf32>) {
    ^bb0(%a: f32, %b: f32, %o: f32):
      %0 = arith.mulf %a, %b : f32
      %1 = arith.addf %o, %0 : f32
      linalg.yield %1 : f32
    } -> tensor<32xf32>
    %new = tensor.insert_slice %sum into %old[%t, 0] [1, 32] [1, 1] : tensor<32xf32> into tensor<7x32xf32>
    scf.yield %new : tensor<7x32xf32>
  }
  return %r : tensor<7x32xf32>
}

// One of narrow numbers is packed for the unit of the target that the loop uses, where the rows are whole steps of it.
// UNIT-LABEL:  func.func @narrow
// UNIT:          %[[PACKED:.*]] = linalg.generic {{.*}} outs(%{{.*}} : tensor<1x16x32x2xbf16>)
// UNIT:          scf.for
// UNIT:            linalg.generic {{.*}} ins(%{{.*}}, %[[PACKED]] : tensor<32xbf16>, tensor<1x16x32x2xbf16>)
// CHECK-LABEL: func.func @narrow
// CHECK:         scf.for
// CHECK:           linalg.generic {{.*}} : tensor<32xbf16>, tensor<2x32x16xbf16>)
ml_program.global private @v(#ml_program.extern) : tensor<32x32xbf16>
func.func @narrow(%h: tensor<32xbf16>, %y: tensor<7x32xf32>) -> tensor<7x32xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c7 = arith.constant 7 : index
  %zero = arith.constant 0.0 : f32
  %w = ml_program.global_load_const @v : tensor<32x32xbf16>
  %e = tensor.empty() : tensor<32xf32>
  %r = scf.for %t = %c0 to %c7 step %c1 iter_args(%old = %y) -> tensor<7x32xf32> {
    %f = linalg.fill ins(%zero : f32) outs(%e : tensor<32xf32>) -> tensor<32xf32>
    %sum = linalg.generic {indexing_maps = [#in, #weight, #out], iterator_types = ["parallel", "reduction"]} ins(%h, %w : tensor<32xbf16>, tensor<32x32xbf16>) outs(%f : tensor<32xf32>) {
    ^bb0(%a: bf16, %b: bf16, %o: f32):
      %0 = arith.extf %a : bf16 to f32
      %1 = arith.extf %b : bf16 to f32
      %2 = arith.mulf %0, %1 : f32
      %3 = arith.addf %o, %2 : f32
      linalg.yield %3 : f32
    } -> tensor<32xf32>
    %new = tensor.insert_slice %sum into %old[%t, 0] [1, 32] [1, 1] : tensor<32xf32> into tensor<7x32xf32>
    scf.yield %new : tensor<7x32xf32>
  }
  return %r : tensor<7x32xf32>
}
