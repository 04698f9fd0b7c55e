// RUN: neo-opt --neo-schedule=target=icelake-server %s | FileCheck %s
// RUN: neo-opt --neo-schedule=target=neoverse-n1 %s | FileCheck %s --check-prefix=ARM

// Signed rows become unsigned by an exclusive or; the sums of the columns times 128 are taken off in the end.
// CHECK-LABEL: func.func @product
// CHECK-SAME:    neo.schedule = "dot_product"
// CHECK:         %[[SIGNS:.*]] = arith.constant dense<-128> : vector<64xi8>
// CHECK:         scf.for {{.*}} iter_args
// CHECK:           %[[COLUMNS:.*]] = llvm.load {{.*}} -> vector<64xi8>
// CHECK:           %[[WORD:.*]] = llvm.load {{.*}} -> i32
// CHECK:           vector.broadcast %[[WORD]] : i32 to vector<16xi32>
// CHECK:           arith.xori {{.*}}, %[[SIGNS]] : vector<64xi8>
// CHECK:           llvm.call @llvm.x86.avx512.vpdpbusd.512
// CHECK:           llvm.call @llvm.x86.avx512.vpdpbusd.512(%{{.*}}, %[[SIGNS]], %[[COLUMNS]])
// CHECK:         arith.subi {{.*}} : vector<16xi32>
// ARM-LABEL:     func.func @product
// ARM:             vector.broadcast %{{.*}} : i32 to vector<4xi32>
// ARM:             llvm.call @llvm.aarch64.neon.sdot.v4i32.v16i8
#a = affine_map<(d0, d1, d2) -> (d0, d2)>
#b = affine_map<(d0, d1, d2) -> (d1 floordiv 16, d2 floordiv 4, d1 mod 16, d2 mod 4)>
#c = affine_map<(d0, d1, d2) -> (d0, d1)>
func.func @product(%x: tensor<6x64xi8>, %w: tensor<1x16x16x4xi8>, %out: tensor<6x16xi32>) -> tensor<6x16xi32> {
  %zero = arith.constant 0 : i32
  %f = linalg.fill ins(%zero : i32) outs(%out : tensor<6x16xi32>) -> tensor<6x16xi32>
  %c = linalg.generic {indexing_maps = [#a, #b, #c], iterator_types = ["parallel", "parallel", "reduction"]} ins(%x, %w : tensor<6x64xi8>, tensor<1x16x16x4xi8>) outs(%f : tensor<6x16xi32>) {
  ^bb0(%p: i8, %q: i8, %s: i32):
    %0 = arith.extsi %p : i8 to i32
    %1 = arith.extsi %q : i8 to i32
    %2 = arith.muli %0, %1 : i32
    %3 = arith.addi %s, %2 : i32
    linalg.yield %3 : i32
  } -> tensor<6x16xi32>
  return %c : tensor<6x16xi32>
}
