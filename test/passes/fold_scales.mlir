// RUN: neo-opt --neo-fold-scales %s | FileCheck %s

#a = affine_map<(d0, d1, d2) -> (d0, d2)>
#b = affine_map<(d0, d1, d2) -> (d2, d1)>
#c = affine_map<(d0, d1, d2) -> (d0, d1)>
#id = affine_map<(d0, d1) -> (d0, d1)>
#col = affine_map<(d0, d1) -> (d1)>

ml_program.global private @w(#ml_program.extern) : tensor<8x16xf32>
ml_program.global private @mean(#ml_program.extern) : tensor<16xf32>
ml_program.global private @scale(#ml_program.extern) : tensor<16xf32>

// (x w - mean) * scale, then a maximum: the weights are scaled, and one addition is left before the maximum.
// CHECK-LABEL: func.func @main
// CHECK: %[[V:.*]]:2 = linalg.generic {{.*}} iterator_types = ["parallel"]} {{.*}} outs(%{{.*}}, %{{.*}} : tensor<16xf32>, tensor<16xf32>)
// CHECK: %[[W:.*]] = linalg.generic {{.*}} ins(%{{.*}}, %[[V]]#0 : tensor<8x16xf32>, tensor<16xf32>)
// CHECK: arith.mulf
// CHECK: %[[C:.*]] = linalg.generic {{.*}} ins(%{{.*}}, %[[W]] :
// CHECK: linalg.generic {{.*}} ins(%[[C]], %[[V]]#1 : tensor<4x16xf32>, tensor<16xf32>)
// CHECK-NEXT: ^bb0(%[[X:.*]]: f32, %[[S:.*]]: f32, %{{.*}}: f32):
// CHECK-NEXT: %[[Y:.*]] = arith.addf %[[X]], %[[S]]
// CHECK-NEXT: arith.maximumf %[[Y]]
// CHECK-NEXT: linalg.yield
func.func @main(%x: tensor<4x8xf32>) -> tensor<4x16xf32> {
  %zero = arith.constant 0.0 : f32
  %w = ml_program.global_load_const @w : tensor<8x16xf32>
  %mean = ml_program.global_load_const @mean : tensor<16xf32>
  %scale = ml_program.global_load_const @scale : tensor<16xf32>
  %e = tensor.empty() : tensor<4x16xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<4x16xf32>) -> tensor<4x16xf32>
  %c = linalg.generic {indexing_maps = [#a, #b, #c], iterator_types = ["parallel", "parallel", "reduction"]} ins(%x, %w : tensor<4x8xf32>, tensor<8x16xf32>) outs(%f : tensor<4x16xf32>) {
  ^bb0(%p: f32, %q: f32, %s: f32):
    %0 = arith.mulf %p, %q : f32
    %1 = arith.addf %s, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<4x16xf32>
  %r = linalg.generic {indexing_maps = [#id, #col, #col, #id], iterator_types = ["parallel", "parallel"]} ins(%c, %mean, %scale : tensor<4x16xf32>, tensor<16xf32>, tensor<16xf32>) outs(%e : tensor<4x16xf32>) {
  ^bb0(%in: f32, %m: f32, %k: f32, %out: f32):
    %0 = arith.subf %in, %m : f32
    %1 = arith.mulf %0, %k : f32
    %2 = arith.maximumf %1, %zero : f32
    linalg.yield %2 : f32
  } -> tensor<4x16xf32>
  return %r : tensor<4x16xf32>
}
