// RUN: neo-opt --neo-schedule=target=x86-64-v3 %s | FileCheck %s

// Three results a row, of a long reduction: one masked vector each, so that twelve rows are twelve registers.
// CHECK-LABEL: func.func @picture
// CHECK: %[[MASK:.*]] = vector.create_mask %c3 : vector<4xi1>
// CHECK: %[[SUMS:.*]]:12 = scf.for
// CHECK: vector.maskedload {{.*}}, %[[MASK]], {{.*}} vector<4xf32>
// CHECK-NOT: vector<2xf32>
// CHECK: vector.maskedstore {{.*}}, %[[MASK]], %[[SUMS]]#0
func.func @picture(%x: tensor<48x100xf32>, %w: tensor<1x100x4xf32>, %out: tensor<48x3xf32>) -> tensor<48x3xf32> {
  %zero = arith.constant 0.0 : f32
  %f = linalg.fill ins(%zero : f32) outs(%out : tensor<48x3xf32>) -> tensor<48x3xf32>
  %r = linalg.generic {
      indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n floordiv 4, k, n mod 4)>, affine_map<(m, n, k) -> (m, n)>],
      iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%x, %w : tensor<48x100xf32>, tensor<1x100x4xf32>) outs(%f : tensor<48x3xf32>) {
  ^bb0(%a: f32, %b: f32, %acc: f32):
    %0 = arith.mulf %a, %b : f32
    %1 = arith.addf %acc, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<48x3xf32>
  return %r : tensor<48x3xf32>
}
