// RUN: neo-opt --neo-form-kernels %s | FileCheck %s

// What runs at compile time is compiled for the machine that does so: it shares kernels with itself, not with the model.
// CHECK-LABEL: func.func @main
// CHECK:         call @[[MAIN:elementwise_[0-9a-f]+]](
// CHECK-LABEL: func.func @initialize
// CHECK-NOT:     call @[[MAIN]](
// CHECK:         call @[[OWN:elementwise_[0-9a-f]+]](
// CHECK-NOT:     call @[[MAIN]](
// CHECK:         call @[[OWN]](
// CHECK:       module attributes {neo.kernel}
// CHECK-NEXT:    func.func @[[MAIN]](
// CHECK:       module attributes {neo.kernel}
// CHECK-NEXT:    func.func @[[OWN]](
// CHECK-NOT:   func.func
ml_program.global private @w(#ml_program.extern<tensor<64xf32>>) : tensor<64xf32>
ml_program.global private @v(#ml_program.extern<tensor<64xf32>>) : tensor<64xf32>
func.func @main(%x: tensor<64xf32>) -> tensor<64xf32> {
  %e = tensor.empty() : tensor<64xf32>
  %r = linalg.generic {indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>], iterator_types = ["parallel"]}
      ins(%x : tensor<64xf32>) outs(%e : tensor<64xf32>) {
  ^bb0(%a: f32, %o: f32):
    %y = arith.negf %a : f32
    linalg.yield %y : f32
  } -> tensor<64xf32>
  return %r : tensor<64xf32>
}
func.func @initialize() -> (tensor<64xf32>, tensor<64xf32>) {
  %w = ml_program.global_load_const @w : tensor<64xf32>
  %v = ml_program.global_load_const @v : tensor<64xf32>
  %e = tensor.empty() : tensor<64xf32>
  %r = linalg.generic {indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>], iterator_types = ["parallel"]}
      ins(%w : tensor<64xf32>) outs(%e : tensor<64xf32>) {
  ^bb0(%a: f32, %o: f32):
    %y = arith.negf %a : f32
    linalg.yield %y : f32
  } -> tensor<64xf32>
  %q = linalg.generic {indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>], iterator_types = ["parallel"]}
      ins(%v : tensor<64xf32>) outs(%e : tensor<64xf32>) {
  ^bb0(%a: f32, %o: f32):
    %y = arith.negf %a : f32
    linalg.yield %y : f32
  } -> tensor<64xf32>
  return %r, %q : tensor<64xf32>, tensor<64xf32>
}
