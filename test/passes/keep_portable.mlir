// RUN: neo-opt --neo-keep-portable %s | FileCheck %s
// RUN: neo-opt --pass-pipeline="builtin.module(neo-keep-portable,builtin.module(neo-schedule{target=neoverse-v1}))" %s | FileCheck %s --check-prefix=VECTOR

// CHECK: module attributes {neo.kernel, neo.portable}
// CHECK-NEXT: @pack
// CHECK: module attributes {neo.kernel}
// CHECK-NEXT: @negate
// VECTOR: @pack
// VECTOR-NOT: vector<[
// VECTOR: vector<4xf32>
// VECTOR: @negate
// VECTOR: vector<[4]xf32>
func.func private @pack(tensor<64xf32>, tensor<64xf32>) -> tensor<64xf32>
func.func private @negate(tensor<64xf32>, tensor<64xf32>) -> tensor<64xf32>
ml_program.global private @w(#ml_program.extern<tensor<64xf32>>) : tensor<64xf32>
func.func @initialize() -> tensor<64xf32> {
  %w = ml_program.global_load_const @w : tensor<64xf32>
  %e = tensor.empty() : tensor<64xf32>
  %r = call @pack(%w, %e) : (tensor<64xf32>, tensor<64xf32>) -> tensor<64xf32>
  return %r : tensor<64xf32>
}
func.func @main(%x: tensor<64xf32>) -> tensor<64xf32> {
  %e = tensor.empty() : tensor<64xf32>
  %r = call @negate(%x, %e) : (tensor<64xf32>, tensor<64xf32>) -> tensor<64xf32>
  return %r : tensor<64xf32>
}
module attributes {neo.kernel} {
  func.func @pack(%a: tensor<64xf32>, %out: tensor<64xf32>) -> tensor<64xf32> {
    %r = linalg.generic {indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>], iterator_types = ["parallel"]}
        ins(%a : tensor<64xf32>) outs(%out : tensor<64xf32>) {
    ^bb0(%x: f32, %o: f32):
      linalg.yield %x : f32
    } -> tensor<64xf32>
    return %r : tensor<64xf32>
  }
}
module attributes {neo.kernel} {
  func.func @negate(%a: tensor<64xf32>, %out: tensor<64xf32>) -> tensor<64xf32> {
    %r = linalg.generic {indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>], iterator_types = ["parallel"]}
        ins(%a : tensor<64xf32>) outs(%out : tensor<64xf32>) {
    ^bb0(%x: f32, %o: f32):
      %y = arith.negf %x : f32
      linalg.yield %y : f32
    } -> tensor<64xf32>
    return %r : tensor<64xf32>
  }
}
