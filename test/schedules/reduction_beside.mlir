// RUN: neo-opt --neo-schedule=target=x86-64-v4 %s | FileCheck %s

// Weights are narrowed and written by the loop that sums them up: no exponential is computed twice, no row is kept.
// CHECK-LABEL: func.func @row
// CHECK-SAME:    attributes {{.*}}neo.schedule = "reduction"}
// CHECK-NOT:     memref.alloca
// CHECK:         arith.maximumf
// CHECK:         math.exp
// CHECK:         arith.truncf
// CHECK:         vector.store %{{.*}} : memref<4x64xbf16>
// CHECK:         vector.reduction <add>
// CHECK-NOT:     math.exp
// CHECK:         memref.store %{{.*}} : memref<4xf32>
#all = affine_map<(m, n) -> (m, n)>
#row = affine_map<(m, n) -> (m)>
func.func @row(%s: tensor<4x64xf32>, %w: tensor<4x64xbf16>, %t: tensor<4xf32>) -> (tensor<4x64xbf16>, tensor<4xf32>) attributes {neo.parameters = {rows = 1 : i64}} {
  %low = arith.constant 0xFF800000 : f32
  %zero = arith.constant 0.0 : f32
  %er = tensor.empty() : tensor<4xf32>
  %es = tensor.empty() : tensor<4x64xf32>
  %fl = linalg.fill ins(%low : f32) outs(%er : tensor<4xf32>) -> tensor<4xf32>
  %max = linalg.generic {indexing_maps = [#all, #row], iterator_types = ["parallel", "reduction"]}
      ins(%s : tensor<4x64xf32>) outs(%fl : tensor<4xf32>) {
  ^bb0(%a: f32, %acc: f32):
    %0 = arith.maximumf %a, %acc : f32
    linalg.yield %0 : f32
  } -> tensor<4xf32>
  %exp:2 = linalg.generic {indexing_maps = [#all, #row, #all, #all], iterator_types = ["parallel", "parallel"]}
      ins(%s, %max : tensor<4x64xf32>, tensor<4xf32>) outs(%es, %w : tensor<4x64xf32>, tensor<4x64xbf16>) {
  ^bb0(%a: f32, %b: f32, %acc: f32, %narrow: bf16):
    %0 = arith.subf %a, %b : f32
    %1 = math.exp %0 : f32
    %2 = arith.truncf %1 : f32 to bf16
    linalg.yield %1, %2 : f32, bf16
  } -> (tensor<4x64xf32>, tensor<4x64xbf16>)
  %fz = linalg.fill ins(%zero : f32) outs(%t : tensor<4xf32>) -> tensor<4xf32>
  %sum = linalg.generic {indexing_maps = [#all, #row], iterator_types = ["parallel", "reduction"]}
      ins(%exp#0 : tensor<4x64xf32>) outs(%fz : tensor<4xf32>) {
  ^bb0(%a: f32, %acc: f32):
    %0 = arith.addf %a, %acc : f32
    linalg.yield %0 : f32
  } -> tensor<4xf32>
  return %exp#1, %sum : tensor<4x64xbf16>, tensor<4xf32>
}
