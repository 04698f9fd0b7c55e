// RUN: neo-opt --neo-schedule=target=znver4 %s | FileCheck %s

// Rows of 2048 halves are 4 KiB apart and meet in one set of the first-level cache, which has places for eight of their
// lines: a register tile is eight rows of two vectors, where registers would let it have twelve.
// CHECK-LABEL: func.func @deep
// CHECK-SAME:    neo.schedule = "dot_product"
// CHECK:         iter_args
// CHECK-COUNT-16:  llvm.call @llvm.x86.avx512bf16.dpbf16ps.512
// CHECK-NOT:       llvm.call @llvm.x86.avx512bf16.dpbf16ps.512
// CHECK:           scf.yield
func.func @deep(%a: tensor<48x2048xbf16>, %b: tensor<16x1024x32x2xbf16>, %out: tensor<48x512xf32>) -> tensor<48x512xf32> {
  %zero = arith.constant 0.0 : f32
  %f = linalg.fill ins(%zero : f32) outs(%out : tensor<48x512xf32>) -> tensor<48x512xf32>
  %c = linalg.generic {
    indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n floordiv 32, k floordiv 2, n mod 32, k mod 2)>, affine_map<(m, n, k) -> (m, n)>],
    iterator_types = ["parallel", "parallel", "reduction"]
  } ins(%a, %b : tensor<48x2048xbf16>, tensor<16x1024x32x2xbf16>) outs(%f : tensor<48x512xf32>) {
  ^bb0(%x: bf16, %y: bf16, %acc: f32):
    %xe = arith.extf %x : bf16 to f32
    %ye = arith.extf %y : bf16 to f32
    %p = arith.mulf %xe, %ye : f32
    %s = arith.addf %acc, %p : f32
    linalg.yield %s : f32
  } -> tensor<48x512xf32>
  return %c : tensor<48x512xf32>
}
