// RUN: neo-opt --neo-schedule=target=x86-64-v3 %s | FileCheck %s
// RUN: neo-opt --neo-schedule=target=x86-64-v2 %s | FileCheck %s --check-prefix=SSE
// RUN: neo-opt --neo-schedule=target=x86-64-v4 %s | FileCheck %s --check-prefix=AVX512

// A work item widens what its rows read, then each panel of 16 columns; a pair of a row meets eight pairs of a panel.
// CHECK-LABEL: func.func @product
// CHECK-SAME:    neo.schedule = "words"
// CHECK-DAG:     %[[PANEL:.*]] = memref.alloca() {alignment = 64 : i64} : memref<640xi16>
// CHECK-DAG:     %[[ROWS:.*]] = memref.alloca() {alignment = 64 : i64} : memref<1920xi16>
// CHECK:         scf.forall
// CHECK:           scf.for
// CHECK:             %[[BYTES:.*]] = llvm.load {{.*}} -> vector<16xi8>
// CHECK:             %[[UNSIGNED:.*]] = arith.extui %[[BYTES]] : vector<16xi8> to vector<16xi16>
// CHECK:             vector.store %[[UNSIGNED]], %[[ROWS]]
// CHECK:             %[[WEIGHTS:.*]] = llvm.load {{.*}} -> vector<16xi8>
// CHECK:             %[[SIGNED:.*]] = arith.extsi %[[WEIGHTS]] : vector<16xi8> to vector<16xi16>
// CHECK:             vector.store %[[SIGNED]], %[[PANEL]]
// CHECK:           scf.for {{.*}} iter_args
// CHECK:             %[[COLUMNS:.*]] = llvm.load {{.*}} -> vector<16xi16>
// CHECK:             %[[PAIR:.*]] = llvm.load {{.*}} -> i32
// CHECK:             %[[MANY:.*]] = vector.broadcast %[[PAIR]] : i32 to vector<8xi32>
// CHECK:             %[[WORDS:.*]] = vector.bitcast %[[MANY]] : vector<8xi32> to vector<16xi16>
// CHECK:             %[[TWO:.*]] = llvm.call @llvm.x86.avx2.pmadd.wd(%[[WORDS]], %[[COLUMNS]])
// CHECK:             arith.addi %{{.*}}, %[[TWO]] : vector<8xi32>
// SSE-LABEL:     func.func @product
// SSE:             llvm.call @llvm.x86.sse2.pmadd.wd({{.*}}) : (vector<8xi16>, vector<8xi16>) -> vector<4xi32>
// AVX512-LABEL:  func.func @product
// AVX512:          llvm.call @llvm.x86.avx512.pmaddw.d.512({{.*}}) : {{.*}} -> vector<16xi32>
#a = affine_map<(d0, d1, d2) -> (d0, d2)>
#b = affine_map<(d0, d1, d2) -> (d1 floordiv 16, d2 floordiv 2, d1 mod 16, d2 mod 2)>
#c = affine_map<(d0, d1, d2) -> (d0, d1)>
func.func @product(%x: tensor<48x40xi8>, %w: tensor<4x20x16x2xi8>, %out: tensor<48x64xi32>) -> tensor<48x64xi32> {
  %zero = arith.constant 0 : i32
  %f = linalg.fill ins(%zero : i32) outs(%out : tensor<48x64xi32>) -> tensor<48x64xi32>
  %c = linalg.generic {indexing_maps = [#a, #b, #c], iterator_types = ["parallel", "parallel", "reduction"]} ins(%x, %w : tensor<48x40xi8>, tensor<4x20x16x2xi8>) outs(%f : tensor<48x64xi32>) {
  ^bb0(%p: i8, %q: i8, %s: i32):
    %0 = arith.extui %p : i8 to i32
    %1 = arith.extsi %q : i8 to i32
    %2 = arith.muli %0, %1 : i32
    %3 = arith.addi %s, %2 : i32
    linalg.yield %3 : i32
  } -> tensor<48x64xi32>
  return %c : tensor<48x64xi32>
}

// Few rows: the panel is widened when it is loaded.
// CHECK-LABEL: func.func @few_rows
// CHECK-SAME:    neo.schedule = "words"
// CHECK:         scf.for {{.*}} iter_args
// CHECK:           llvm.load {{.*}} -> vector<16xi8>
// CHECK:           llvm.call @llvm.x86.avx2.pmadd.wd
func.func @few_rows(%x: tensor<2x64xi8>, %w: tensor<4x32x16x2xi8>, %out: tensor<2x64xi32>) -> tensor<2x64xi32> {
  %zero = arith.constant 0 : i32
  %f = linalg.fill ins(%zero : i32) outs(%out : tensor<2x64xi32>) -> tensor<2x64xi32>
  %c = linalg.generic {indexing_maps = [#a, #b, #c], iterator_types = ["parallel", "parallel", "reduction"]} ins(%x, %w : tensor<2x64xi8>, tensor<4x32x16x2xi8>) outs(%f : tensor<2x64xi32>) {
  ^bb0(%p: i8, %q: i8, %s: i32):
    %0 = arith.extsi %p : i8 to i32
    %1 = arith.extui %q : i8 to i32
    %2 = arith.muli %0, %1 : i32
    %3 = arith.addi %s, %2 : i32
    linalg.yield %3 : i32
  } -> tensor<2x64xi32>
  return %c : tensor<2x64xi32>
}
