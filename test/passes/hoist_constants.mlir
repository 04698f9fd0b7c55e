// RUN: neo-opt --neo-hoist-constants %s | FileCheck %s

#id = affine_map<(d0, d1) -> (d0, d1)>
#t = affine_map<(d0, d1) -> (d1, d0)>

// The transpose of a weight moves to @initialize; its reshape stays, as does the weight that is read as it is.
// CHECK: ml_program.global private @packed_0(#{{.*}}) : tensor<16x8xf32>
// CHECK-LABEL: func.func @main
// CHECK-DAG: %[[P:.*]] = ml_program.global_load_const @packed_0 : tensor<16x8xf32>
// CHECK-DAG: ml_program.global_load_const @v
// CHECK: tensor.expand_shape %[[P]]
// CHECK-LABEL: func.func @initialize() -> (tensor<16x8xf32> {neo.defines = @packed_0})
// CHECK: ml_program.global_load_const @w
// CHECK: %[[R:.*]] = linalg.generic
// CHECK: return %[[R]] : tensor<16x8xf32>
ml_program.global private @w(#ml_program.extern) : tensor<8x16xf32>
ml_program.global private @v(#ml_program.extern) : tensor<16x8xf32>
func.func @main(%x: tensor<16x8xf32>) -> (tensor<16x8xf32>, tensor<4x4x8xf32>) {
  %w = ml_program.global_load_const @w : tensor<8x16xf32>
  %v = ml_program.global_load_const @v : tensor<16x8xf32>
  %e = tensor.empty() : tensor<16x8xf32>
  %wt = linalg.generic {indexing_maps = [#t, #id], iterator_types = ["parallel", "parallel"]} ins(%w : tensor<8x16xf32>) outs(%e : tensor<16x8xf32>) {
  ^bb0(%in: f32, %out: f32):
    linalg.yield %in : f32
  } -> tensor<16x8xf32>
  %r = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel"]} ins(%x, %v : tensor<16x8xf32>, tensor<16x8xf32>) outs(%e : tensor<16x8xf32>) {
  ^bb0(%p: f32, %q: f32, %out: f32):
    %0 = arith.addf %p, %q : f32
    linalg.yield %0 : f32
  } -> tensor<16x8xf32>
  %view = tensor.expand_shape %wt [[0, 1], [2]] output_shape [4, 4, 8] : tensor<16x8xf32> into tensor<4x4x8xf32>
  return %r, %view : tensor<16x8xf32>, tensor<4x4x8xf32>
}
