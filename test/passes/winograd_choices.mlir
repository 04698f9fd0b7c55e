// RUN: neo-opt --neo-winograd="target=x86-64-v4 choices=28x28x64x3x3x64-6441bb91:2" %s | FileCheck %s
// RUN: neo-opt --neo-winograd="target=x86-64-v4 choices=28x28x64x3x3x64-6441bb91:never" %s | FileCheck %s --check-prefix=NEVER
// RUN: neo-opt --neo-winograd="target=x86-64-v4 choices=28x28x64x3x3x64-00000000:never" %s | FileCheck %s --check-prefix=OTHER
// RUN: neo-opt --neo-winograd="target=x86-64-v4 use=never choices=28x28x64x3x3x64-6441bb91:2" %s | FileCheck %s --check-prefix=NEVER
// RUN: not neo-opt --neo-winograd="choices=28x28x64x3x3x64-6441bb91:3" %s 2>&1 | FileCheck %s --check-prefix=WRONG

// What is chosen for a convolution by its signature goes before the model of the target; a general `use` before both.
// CHECK: tensor<4x4x64x64xf32>
// NEVER-COUNT-1: linalg.generic
// NEVER-NOT: linalg.generic
// OTHER: tensor<6x6x64x64xf32>
// WRONG: neo-winograd: '28x28x64x3x3x64-6441bb91:3' is not SIGNATURE:VALUE with a value that there is
#x = affine_map<(h, v, k, a, b, c) -> (h + a, v + b, c)>
#w = affine_map<(h, v, k, a, b, c) -> (k, c, a, b)>
#y = affine_map<(h, v, k, a, b, c) -> (h, v, k)>
ml_program.global private @w(#ml_program.extern) : tensor<64x64x3x3xf32>
func.func @large(%x: tensor<30x30x64xf32>) -> tensor<28x28x64xf32> {
  %zero = arith.constant 0.0 : f32
  %w = ml_program.global_load_const @w : tensor<64x64x3x3xf32>
  %e = tensor.empty() : tensor<28x28x64xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<28x28x64xf32>) -> tensor<28x28x64xf32>
  %r = linalg.generic {indexing_maps = [#x, #w, #y], iterator_types = ["parallel", "parallel", "parallel", "reduction", "reduction", "reduction"]}
      ins(%x, %w : tensor<30x30x64xf32>, tensor<64x64x3x3xf32>) outs(%f : tensor<28x28x64xf32>) {
  ^bb0(%p0: f32, %p1: f32, %acc: f32):
    %0 = arith.mulf %p0, %p1 : f32
    %1 = arith.addf %acc, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<28x28x64xf32>
  return %r : tensor<28x28x64xf32>
}
