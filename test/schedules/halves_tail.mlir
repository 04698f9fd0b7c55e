// RUN: neo-opt --neo-schedule=target=x86-64-v4 %s | FileCheck %s

// What stands in for the lanes that are off is 1.0 of the type: the integer 1 is a denormal number as bits of a half,
// and products with it take a hundred times as long as others.
// CHECK-LABEL: func.func @brain
// CHECK:       %[[ONE:.*]] = arith.constant dense<16256> : vector<16xi16>
// CHECK:       vector.maskedload {{.*}}, %[[ONE]] : memref<10xi16>
func.func @brain(%a: tensor<10xbf16>, %out: tensor<10xf32>) -> tensor<10xf32> {
  %r = linalg.generic {indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>], iterator_types = ["parallel"]}
      ins(%a : tensor<10xbf16>) outs(%out : tensor<10xf32>) {
  ^bb0(%x: bf16, %o: f32):
    %y = arith.extf %x : bf16 to f32
    linalg.yield %y : f32
  } -> tensor<10xf32>
  return %r : tensor<10xf32>
}

// CHECK-LABEL: func.func @ieee
// CHECK:       %[[ONE:.*]] = arith.constant dense<15360> : vector<16xi16>
// CHECK:       vector.maskedload {{.*}}, %[[ONE]] : memref<10xi16>
func.func @ieee(%a: tensor<10xf16>, %out: tensor<10xf32>) -> tensor<10xf32> {
  %r = linalg.generic {indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>], iterator_types = ["parallel"]}
      ins(%a : tensor<10xf16>) outs(%out : tensor<10xf32>) {
  ^bb0(%x: f16, %o: f32):
    %y = arith.extf %x : f16 to f32
    linalg.yield %y : f32
  } -> tensor<10xf32>
  return %r : tensor<10xf32>
}
