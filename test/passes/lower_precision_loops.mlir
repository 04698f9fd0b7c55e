// RUN: neo-opt --neo-lower-precision="type=bf16 target=sapphirerapids" %s | FileCheck %s
// RUN: neo-opt --neo-lower-precision="type=bf16 target=x86-64-v3" %s | FileCheck %s --check-prefix=WITHOUT

#in = affine_map<(n, k) -> (k)>
#weight = affine_map<(n, k) -> (n, k)>
#out = affine_map<(n, k) -> (n)>
ml_program.global private @w(#ml_program.extern) : tensor<32x32xf32>
ml_program.global private @v(#ml_program.extern) : tensor<24x24xf32>

// The weight of a step is rounded before the loop, the state in each step, for the product alone.
// CHECK-LABEL: func.func @whole
// CHECK:         %[[W:.*]] = linalg.generic {{.*}} outs(%{{.*}} : tensor<32x32xbf16>)
// CHECK:           arith.truncf
// CHECK:         scf.for {{.*}} iter_args(%[[OLD:.*]] = %{{.*}}) -> (tensor<32xf32>)
// CHECK:           %[[ROUNDED:.*]] = linalg.generic {{.*}} ins(%[[OLD]] : tensor<32xf32>) outs(%{{.*}} : tensor<32xbf16>)
// CHECK:           linalg.generic {{.*}} ins(%[[ROUNDED]], %[[W]] : tensor<32xbf16>, tensor<32x32xbf16>)
// CHECK-COUNT-2:     arith.extf
// CHECK:           linalg.generic {{.*}} ins(%{{.*}}, %[[OLD]] : tensor<32xf32>, tensor<32xf32>)
// Without an instruction for such numbers a loop stays as it is.
// WITHOUT-LABEL: func.func @whole
// WITHOUT-NOT: bf16
func.func @whole(%h: tensor<32xf32>) -> tensor<32xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c7 = arith.constant 7 : index
  %zero = arith.constant 0.0 : f32
  %w = ml_program.global_load_const @w : tensor<32x32xf32>
  %e = tensor.empty() : tensor<32xf32>
  %r = scf.for %t = %c0 to %c7 step %c1 iter_args(%old = %h) -> tensor<32xf32> {
    %f = linalg.fill ins(%zero : f32) outs(%e : tensor<32xf32>) -> tensor<32xf32>
    %sum = linalg.generic {indexing_maps = [#in, #weight, #out], iterator_types = ["parallel", "reduction"]} ins(%old, %w : tensor<32xf32>, tensor<32x32xf32>) outs(%f : tensor<32xf32>) {
    ^bb0(%a: f32, %b: f32, %o: f32):
      %0 = arith.mulf %a, %b : f32
      %1 = arith.addf %o, %0 : f32
      linalg.yield %1 : f32
    } -> tensor<32xf32>
    %new = linalg.generic {indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>, affine_map<(i) -> (i)>], iterator_types = ["parallel"]} ins(%sum, %old : tensor<32xf32>, tensor<32xf32>) outs(%e : tensor<32xf32>) {
    ^bb0(%a: f32, %b: f32, %o: f32):
      %0 = arith.addf %a, %b : f32
      linalg.yield %0 : f32
    } -> tensor<32xf32>
    scf.yield %new : tensor<32xf32>
  }
  return %r : tensor<32xf32>
}

// States that are no whole steps of the instruction stay as they are.
// CHECK-LABEL: func.func @part
// CHECK-NOT:     bf16
// WITHOUT-LABEL: func.func @part
func.func @part(%h: tensor<24xf32>) -> tensor<24xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c7 = arith.constant 7 : index
  %zero = arith.constant 0.0 : f32
  %w = ml_program.global_load_const @v : tensor<24x24xf32>
  %e = tensor.empty() : tensor<24xf32>
  %r = scf.for %t = %c0 to %c7 step %c1 iter_args(%old = %h) -> tensor<24xf32> {
    %f = linalg.fill ins(%zero : f32) outs(%e : tensor<24xf32>) -> tensor<24xf32>
    %sum = linalg.generic {indexing_maps = [#in, #weight, #out], iterator_types = ["parallel", "reduction"]} ins(%old, %w : tensor<24xf32>, tensor<24x24xf32>) outs(%f : tensor<24xf32>) {
    ^bb0(%a: f32, %b: f32, %o: f32):
      %0 = arith.mulf %a, %b : f32
      %1 = arith.addf %o, %0 : f32
      linalg.yield %1 : f32
    } -> tensor<24xf32>
    scf.yield %sum : tensor<24xf32>
  }
  return %r : tensor<24xf32>
}

// Nothing but the product reads a rounded state, where its extent is not known, too.
// CHECK-LABEL: func.func @open
// CHECK:         scf.for {{.*}} iter_args(%[[STATE:.*]] = %{{.*}}) -> (tensor<?x32xf32>)
// CHECK:           linalg.generic {{.*}} : tensor<?x32xbf16>, tensor<32x32xbf16>)
// CHECK:           linalg.generic {{.*}} ins(%{{.*}}, %[[STATE]] : tensor<?x32xf32>, tensor<?x32xf32>)
#rows = affine_map<(m, n, k) -> (m, k)>
#columns = affine_map<(m, n, k) -> (n, k)>
#both = affine_map<(m, n, k) -> (m, n)>
#same = affine_map<(m, n) -> (m, n)>
func.func @open(%h: tensor<?x32xf32>) -> tensor<?x32xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c7 = arith.constant 7 : index
  %zero = arith.constant 0.0 : f32
  %w = ml_program.global_load_const @w : tensor<32x32xf32>
  %m = tensor.dim %h, %c0 : tensor<?x32xf32>
  %e = tensor.empty(%m) : tensor<?x32xf32>
  %r = scf.for %t = %c0 to %c7 step %c1 iter_args(%old = %h) -> tensor<?x32xf32> {
    %f = linalg.fill ins(%zero : f32) outs(%e : tensor<?x32xf32>) -> tensor<?x32xf32>
    %sum = linalg.generic {indexing_maps = [#rows, #columns, #both], iterator_types = ["parallel", "parallel", "reduction"]} ins(%old, %w : tensor<?x32xf32>, tensor<32x32xf32>) outs(%f : tensor<?x32xf32>) {
    ^bb0(%a: f32, %b: f32, %o: f32):
      %0 = arith.mulf %a, %b : f32
      %1 = arith.addf %o, %0 : f32
      linalg.yield %1 : f32
    } -> tensor<?x32xf32>
    %new = linalg.generic {indexing_maps = [#same, #same, #same], iterator_types = ["parallel", "parallel"]} ins(%sum, %old : tensor<?x32xf32>, tensor<?x32xf32>) outs(%e : tensor<?x32xf32>) {
    ^bb0(%a: f32, %b: f32, %o: f32):
      %0 = arith.addf %a, %b : f32
      linalg.yield %0 : f32
    } -> tensor<?x32xf32>
    scf.yield %new : tensor<?x32xf32>
  }
  return %r : tensor<?x32xf32>
}
