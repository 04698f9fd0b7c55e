// RUN: neo-opt --neo-schedule=target=sapphirerapids %s | FileCheck %s
// RUN: neo-opt --neo-schedule=target=znver4 %s | FileCheck %s --check-prefix=DOTS

// The product of a step by weights that are packed for a unit of narrow numbers is done on it: the state is rounded into
// scratch memory, then multiplied, and what follows reads the sums.
// CHECK-LABEL: func.func @steps
// CHECK-SAME:    neo.schedule = "recurrence"
// CHECK:         scf.for {{.*}} = %c0 to %c7
// CHECK:           arith.truncf
// CHECK:           llvm.call @llvm.x86.ldtilecfg
// CHECK-COUNT-2:   llvm.call @llvm.x86.tdpbf16ps
// CHECK:           llvm.call @llvm.x86.tilerelease
// CHECK:           math.tanh
// DOTS-LABEL:  func.func @steps
// DOTS:          scf.for {{.*}} = %c0 to %c7
// DOTS:            llvm.call @llvm.x86.avx512bf16.dpbf16ps.512
// DOTS:            math.tanh
#i = affine_map<(i) -> (i)>
#in = affine_map<(n, k) -> (k)>
#weight = affine_map<(n, k) -> (n floordiv 32, k floordiv 2, n mod 32, k mod 2)>
#out = affine_map<(n, k) -> (n)>
func.func @steps(%h: tensor<64xf32>, %w: tensor<2x32x32x2xbf16>, %last: tensor<64xf32>) -> tensor<64xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c7 = arith.constant 7 : index
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<64xf32>
  %n = tensor.empty() : tensor<64xbf16>
  %r = scf.for %t = %c0 to %c7 step %c1 iter_args(%old = %h) -> tensor<64xf32> {
    %rounded = linalg.generic {indexing_maps = [#i, #i], iterator_types = ["parallel"]} ins(%old : tensor<64xf32>) outs(%n : tensor<64xbf16>) {
    ^bb0(%a: f32, %o: bf16):
      %0 = arith.truncf %a : f32 to bf16
      linalg.yield %0 : bf16
    } -> tensor<64xbf16>
    %f = linalg.fill ins(%zero : f32) outs(%e : tensor<64xf32>) -> tensor<64xf32>
    %sum = linalg.generic {indexing_maps = [#in, #weight, #out], iterator_types = ["parallel", "reduction"]} ins(%rounded, %w : tensor<64xbf16>, tensor<2x32x32x2xbf16>) outs(%f : tensor<64xf32>) {
    ^bb0(%a: bf16, %b: bf16, %o: f32):
      %0 = arith.extf %a : bf16 to f32
      %1 = arith.extf %b : bf16 to f32
      %2 = arith.mulf %0, %1 : f32
      %3 = arith.addf %o, %2 : f32
      linalg.yield %3 : f32
    } -> tensor<64xf32>
    %new = linalg.generic {indexing_maps = [#i, #i], iterator_types = ["parallel"]} ins(%sum : tensor<64xf32>) outs(%old : tensor<64xf32>) {
    ^bb0(%a: f32, %o: f32):
      %0 = math.tanh %a : f32
      linalg.yield %0 : f32
    } -> tensor<64xf32>
    scf.yield %new : tensor<64xf32>
  }
  return %r : tensor<64xf32>
}
