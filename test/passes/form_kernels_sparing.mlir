// RUN: neo-opt --neo-form-kernels %s | FileCheck %s

// What is scattered is a kernel of its own: an operation behind it would be done for each update.
// CHECK-LABEL: func.func @main
// CHECK:         call @scatter_
// CHECK:         call @elementwise_
func.func @main(%u: tensor<50xf32>, %i: tensor<50xi64>, %s: tensor<10xf32>) -> tensor<10xf32> {
  %r = linalg.generic {
      indexing_maps = [affine_map<(r, n) -> (n)>, affine_map<(r, n) -> (n)>, affine_map<(r, n) -> (r)>],
      iterator_types = ["parallel", "reduction"]}
      ins(%u, %i : tensor<50xf32>, tensor<50xi64>) outs(%s : tensor<10xf32>) {
  ^bb0(%new: f32, %at: i64, %old: f32):
    %row = linalg.index 0 : index
    %here = arith.index_cast %row : index to i64
    %hit = arith.cmpi eq, %here, %at : i64
    %sum = arith.addf %old, %new : f32
    %y = arith.select %hit, %sum, %old : f32
    linalg.yield %y : f32
  } -> tensor<10xf32>
  %e = tensor.empty() : tensor<10xf32>
  %n = linalg.generic {indexing_maps = [affine_map<(r) -> (r)>, affine_map<(r) -> (r)>], iterator_types = ["parallel"]}
      ins(%r : tensor<10xf32>) outs(%e : tensor<10xf32>) {
  ^bb0(%x: f32, %o: f32):
    %y = arith.negf %x : f32
    linalg.yield %y : f32
  } -> tensor<10xf32>
  return %n : tensor<10xf32>
}
