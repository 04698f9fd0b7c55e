// RUN: neo-opt --neo-schedule=target=x86-64-v3 --split-input-file %s | FileCheck %s

#a = affine_map<(m, n, k) -> (m, k)>
#b = affine_map<(m, n, k) -> (n floordiv 16, k, n mod 16)>
#c = affine_map<(m, n, k) -> (m, n)>

// Many rows: a panel of bytes becomes one of floats before they pass by, and the register tile reads that.
// CHECK-LABEL: func.func @many
// CHECK:       %[[WIDE:.*]] = memref.alloca() {{.*}} : memref<1x64x16xf32>
// CHECK:       scf.forall
// CHECK:         scf.for
// CHECK:           vector.load {{.*}} memref<4x64x16xi8>, vector<8xi8>
// CHECK:           arith.sitofp {{.*}} : vector<8xi8> to vector<8xf32>
// CHECK:           vector.store {{.*}}, %[[WIDE]]
// CHECK:         scf.for
// CHECK:           iter_args
// CHECK-NOT:         sitofp
// CHECK:             vector.load %[[WIDE]]
// CHECK:             math.fma
func.func @many(%a: tensor<48x64xf32>, %b: tensor<4x64x16xi8>, %out: tensor<48x64xf32>) -> tensor<48x64xf32> {
  %zero = arith.constant 0.0 : f32
  %f = linalg.fill ins(%zero : f32) outs(%out : tensor<48x64xf32>) -> tensor<48x64xf32>
  %c = linalg.generic {indexing_maps = [#a, #b, #c], iterator_types = ["parallel", "parallel", "reduction"]} ins(%a, %b : tensor<48x64xf32>, tensor<4x64x16xi8>) outs(%f : tensor<48x64xf32>) {
  ^bb0(%x: f32, %y: i8, %acc: f32):
    %w = arith.sitofp %y : i8 to f32
    %p = arith.mulf %x, %w : f32
    %s = arith.addf %acc, %p : f32
    linalg.yield %s : f32
  } -> tensor<48x64xf32>
  return %c : tensor<48x64xf32>
}

// -----

#a = affine_map<(m, n, k) -> (m, k)>
#b = affine_map<(m, n, k) -> (n floordiv 16, k, n mod 16)>
#c = affine_map<(m, n, k) -> (m, n)>

// Few rows: what is loaded is widened in registers.
// CHECK-LABEL: func.func @few
// CHECK-NOT:   memref.alloca
// CHECK:       iter_args
// CHECK:         arith.extf {{.*}} : vector<8xbf16> to vector<8xf32>
// CHECK:         math.fma
func.func @few(%a: tensor<4x64xf32>, %b: tensor<4x64x16xbf16>, %out: tensor<4x64xf32>) -> tensor<4x64xf32> {
  %zero = arith.constant 0.0 : f32
  %f = linalg.fill ins(%zero : f32) outs(%out : tensor<4x64xf32>) -> tensor<4x64xf32>
  %c = linalg.generic {indexing_maps = [#a, #b, #c], iterator_types = ["parallel", "parallel", "reduction"]} ins(%a, %b : tensor<4x64xf32>, tensor<4x64x16xbf16>) outs(%f : tensor<4x64xf32>) {
  ^bb0(%x: f32, %y: bf16, %acc: f32):
    %w = arith.extf %y : bf16 to f32
    %p = arith.mulf %x, %w : f32
    %s = arith.addf %acc, %p : f32
    linalg.yield %s : f32
  } -> tensor<4x64xf32>
  return %c : tensor<4x64xf32>
}

// -----

#a = affine_map<(m, n, k) -> (m, k)>
#b = affine_map<(m, n, k) -> (n floordiv 16, k, n mod 16)>
#c = affine_map<(m, n, k) -> (m, n)>

// In five loops the copy of a part of a panel is the wide one, beside that of the rows.
// CHECK-LABEL: func.func @large
// CHECK-DAG:   memref.alloca() {{.*}} : memref<36x272xf32>
// CHECK-DAG:   %[[WIDE:.*]] = memref.alloca() {{.*}} : memref<256x16xf32>
// CHECK:       scf.forall
// CHECK:         arith.extf {{.*}} : vector<8xf16> to vector<8xf32>
// CHECK:         vector.store {{.*}}, %[[WIDE]]
// CHECK:         iter_args
// CHECK-NOT:       extf
// CHECK:           vector.load %[[WIDE]]
func.func @large(%a: tensor<128x768xf32>, %b: tensor<192x768x16xf16>, %out: tensor<128x3072xf32>) -> tensor<128x3072xf32> {
  %zero = arith.constant 0.0 : f32
  %f = linalg.fill ins(%zero : f32) outs(%out : tensor<128x3072xf32>) -> tensor<128x3072xf32>
  %c = linalg.generic {indexing_maps = [#a, #b, #c], iterator_types = ["parallel", "parallel", "reduction"]} ins(%a, %b : tensor<128x768xf32>, tensor<192x768x16xf16>) outs(%f : tensor<128x3072xf32>) {
  ^bb0(%x: f32, %y: f16, %acc: f32):
    %w = arith.extf %y : f16 to f32
    %p = arith.mulf %x, %w : f32
    %s = arith.addf %acc, %p : f32
    linalg.yield %s : f32
  } -> tensor<128x3072xf32>
  return %c : tensor<128x3072xf32>
}
