// RUN: neo-opt --neo-fold-scales %s | FileCheck %s

#id = affine_map<(d0, d1) -> (d0, d1)>
#col = affine_map<(d0, d1) -> (d1)>
#a = affine_map<(d0, d1, d2) -> (d0, d2)>
#b = affine_map<(d0, d1, d2) -> (d2, d1)>
#c = affine_map<(d0, d1, d2) -> (d0, d1)>

ml_program.global private @w(#ml_program.extern) : tensor<8x16xi8>
ml_program.global private @s(#ml_program.extern) : tensor<16xf32>
ml_program.global private @bias(#ml_program.extern) : tensor<16xf32>
ml_program.global private @corr(#ml_program.extern) : tensor<16xi32>

// Scale, bias and the scale of what follows are one product and one sum behind the integers and their correction.
// CHECK-LABEL: func.func @main
// CHECK:         %[[V:[0-9]+]]:2 = linalg.generic
// CHECK:         linalg.generic {{.*}} ins(%{{[a-z0-9]*}}, %{{[a-z0-9_]*}}, %[[V]]#1, %[[V]]#0 :
// CHECK:           %[[I:.*]] = arith.addi
// CHECK:           %[[F:.*]] = arith.sitofp %[[I]]
// CHECK:           %[[M:.*]] = arith.mulf %[[F]], %{{.*}} fastmath<contract>
// CHECK:           %[[A:.*]] = arith.addf %[[M]], %{{.*}} fastmath<contract>
// CHECK:           arith.maximumf %[[A]]
func.func @main(%x: tensor<4x8xi8>) -> tensor<4x16xf32> {
  %w = ml_program.global_load_const @w : tensor<8x16xi8>
  %s = ml_program.global_load_const @s : tensor<16xf32>
  %bias = ml_program.global_load_const @bias : tensor<16xf32>
  %corr = ml_program.global_load_const @corr : tensor<16xi32>
  %i0 = arith.constant 0 : i32
  %f0 = arith.constant 0.0 : f32
  %inverse = arith.constant 25.0 : f32
  %e = tensor.empty() : tensor<4x16xi32>
  %ef = tensor.empty() : tensor<4x16xf32>
  %f = linalg.fill ins(%i0 : i32) outs(%e : tensor<4x16xi32>) -> tensor<4x16xi32>
  %p = linalg.generic {indexing_maps = [#a, #b, #c], iterator_types = ["parallel", "parallel", "reduction"]} ins(%x, %w : tensor<4x8xi8>, tensor<8x16xi8>) outs(%f : tensor<4x16xi32>) {
  ^bb0(%in: i8, %k: i8, %o: i32):
    %0 = arith.extui %in : i8 to i32
    %1 = arith.extsi %k : i8 to i32
    %2 = arith.muli %0, %1 : i32
    %3 = arith.addi %o, %2 : i32
    linalg.yield %3 : i32
  } -> tensor<4x16xi32>
  %r = linalg.generic {indexing_maps = [#id, #col, #col, #col, #id], iterator_types = ["parallel", "parallel"]} ins(%p, %corr, %s, %bias : tensor<4x16xi32>, tensor<16xi32>, tensor<16xf32>, tensor<16xf32>) outs(%ef : tensor<4x16xf32>) {
  ^bb0(%in: i32, %c: i32, %scale: f32, %shift: f32, %o: f32):
    %0 = arith.addi %in, %c : i32
    %1 = arith.sitofp %0 : i32 to f32
    %2 = arith.mulf %1, %scale : f32
    %3 = arith.addf %2, %shift : f32
    %4 = arith.mulf %3, %inverse : f32
    %5 = arith.maximumf %4, %f0 : f32
    linalg.yield %5 : f32
  } -> tensor<4x16xf32>
  return %r : tensor<4x16xf32>
}
