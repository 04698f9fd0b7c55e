// RUN: neo-opt --neo-schedule=target=x86-64-v3 %s | FileCheck %s
// RUN: neo-opt --neo-schedule=target=x86-64-v4 %s | FileCheck %s --check-prefix=AVX512

// Of four words of a row and four of a column the sums are multiplied, crosswise, in tiles of four rows and two vectors;
// what a row and what a column has taken off stands in the sums before.
// CHECK-LABEL: func.func @product
// CHECK-SAME:    neo.parameters = {{{.*}}inner = 4 : i64
// CHECK-DAG:     %[[PANEL:.*]] = memref.alloca() {alignment = 64 : i64} : memref<1024xi16>
// CHECK-DAG:     %[[OFF_ROWS:.*]] = memref.alloca() {alignment = 64 : i64} : memref<48xi32>
// CHECK-DAG:     %[[OFF_COLUMNS:.*]] = memref.alloca() {alignment = 64 : i64} : memref<16xi32>
// CHECK:         scf.forall
// CHECK:           %[[ROW:.*]] = scf.for {{.*}} iter_args
// CHECK:             %[[WORDS:.*]] = arith.extui %{{.*}} : vector<16xi8> to vector<16xi16>
// CHECK:             vector.store %[[WORDS]]
// CHECK:             %[[QUADS:.*]] = vector.bitcast %[[WORDS]]
// CHECK:             %[[UPPER:.*]] = arith.shrui %[[QUADS]]
// CHECK:             %[[MOVED:.*]] = vector.bitcast %[[UPPER]]
// CHECK:             %[[TAKEN:.*]] = llvm.call @llvm.x86.avx2.pmadd.wd(%[[WORDS]], %[[MOVED]])
// CHECK:             arith.subi %{{.*}}, %[[TAKEN]]
// CHECK:           %[[NUMBER:.*]] = vector.reduction <add>, %[[ROW]]
// CHECK:           memref.store %[[NUMBER]], %[[OFF_ROWS]]
// CHECK:           scf.for {{.*}} iter_args
// CHECK:             %[[EVEN:.*]] = arith.extsi %{{.*}} : vector<16xi8> to vector<16xi16>
// CHECK:             vector.store %[[EVEN]], %[[PANEL]]
// CHECK:             %[[ODD:.*]] = arith.extsi %{{.*}} : vector<16xi8> to vector<16xi16>
// CHECK:             vector.store %[[ODD]], %[[PANEL]]
// CHECK:             llvm.call @llvm.x86.avx2.pmadd.wd(%[[EVEN]], %[[ODD]])
// CHECK:           vector.store %{{.*}}, %[[OFF_COLUMNS]]
// Each tile fetches its share of the next panel.
// CHECK:           %[[OFF:.*]] = memref.load %[[OFF_ROWS]]
// CHECK:           %[[MANY:.*]] = vector.broadcast %[[OFF]]
// CHECK:           %[[COLUMN:.*]] = vector.load %[[OFF_COLUMNS]]
// CHECK-COUNT-2:   memref.prefetch {{.*}}, read, locality<2>, data
// CHECK:           %[[START:.*]] = arith.addi %[[MANY]], %[[COLUMN]]
// CHECK:           scf.for {{.*}} step %c8{{.*}} iter_args(%[[SUM:[a-z0-9]+]] = %[[START]],
// CHECK:             %[[LOW:.*]] = llvm.load {{.*}} -> vector<16xi16>
// CHECK:             %[[HIGH:.*]] = llvm.load {{.*}} -> vector<16xi16>
// CHECK:             %[[FIRST:.*]] = vector.bitcast {{.*}} to vector<16xi16>
// CHECK:             %[[SECOND:.*]] = vector.bitcast {{.*}} to vector<16xi16>
// CHECK:             %[[LEFT:.*]] = arith.addi %[[FIRST]], %[[HIGH]] : vector<16xi16>
// CHECK:             %[[RIGHT:.*]] = arith.addi %[[SECOND]], %[[LOW]] : vector<16xi16>
// CHECK:             %[[TWO:.*]] = llvm.call @llvm.x86.avx2.pmadd.wd(%[[LEFT]], %[[RIGHT]])
// CHECK:             arith.addi %[[SUM]], %[[TWO]] : vector<8xi32>

// 512 bits are added on the ports that multiply.
// AVX512-LABEL: func.func @product
// AVX512-NOT:     inner
// AVX512:         llvm.call @llvm.x86.avx512.pmaddw.d.512
// AVX512-NOT:     arith.addi {{.*}}xi16>
#a = affine_map<(d0, d1, d2) -> (d0, d2)>
#b = affine_map<(d0, d1, d2) -> (d1 floordiv 16, d2 floordiv 2, d1 mod 16, d2 mod 2)>
#c = affine_map<(d0, d1, d2) -> (d0, d1)>
func.func @product(%x: tensor<48x64xi8>, %w: tensor<4x32x16x2xi8>, %out: tensor<48x64xi32>) -> tensor<48x64xi32> {
  %zero = arith.constant 0 : i32
  %f = linalg.fill ins(%zero : i32) outs(%out : tensor<48x64xi32>) -> tensor<48x64xi32>
  %c = linalg.generic {indexing_maps = [#a, #b, #c], iterator_types = ["parallel", "parallel", "reduction"]} ins(%x, %w : tensor<48x64xi8>, tensor<4x32x16x2xi8>) outs(%f : tensor<48x64xi32>) {
  ^bb0(%p: i8, %q: i8, %s: i32):
    %0 = arith.extui %p : i8 to i32
    %1 = arith.extsi %q : i8 to i32
    %2 = arith.muli %0, %1 : i32
    %3 = arith.addi %s, %2 : i32
    linalg.yield %3 : i32
  } -> tensor<48x64xi32>
  return %c : tensor<48x64xi32>
}

// A panel of 1024 steps is used in two pieces; sums of 48 rows and 16 columns wait meanwhile.
// CHECK-LABEL: func.func @pieces
// CHECK-SAME:    pieces = 2 : i64
// CHECK-DAG:     memref.alloca() {alignment = 64 : i64} : memref<8192xi16>
// CHECK-DAG:     %[[SUMS:.*]] = memref.alloca() {alignment = 64 : i64} : memref<768xi32>
// CHECK:         vector.store %{{.*}}, %[[SUMS]]
// CHECK:         scf.for {{.*}} = %c0 to %c2 step %c1
// CHECK:           %[[HELD:.*]] = vector.load %[[SUMS]]
// CHECK:           %[[BEGIN:.*]] = arith.addi %[[HELD]]
// CHECK:           %[[MORE:.*]]:8 = scf.for {{.*}} = %c0 to %c512 step %c8 iter_args(%{{[a-z0-9]+}} = %[[BEGIN]],
// CHECK:           vector.store %[[MORE]]#0, %[[SUMS]]
// CHECK:         vector.load %[[SUMS]]
// CHECK:         vector.store
func.func @pieces(%x: tensor<48x1024xi8>, %w: tensor<4x512x16x2xi8>, %out: tensor<48x64xi32>) -> tensor<48x64xi32> {
  %zero = arith.constant 0 : i32
  %f = linalg.fill ins(%zero : i32) outs(%out : tensor<48x64xi32>) -> tensor<48x64xi32>
  %c = linalg.generic {indexing_maps = [#a, #b, #c], iterator_types = ["parallel", "parallel", "reduction"]} ins(%x, %w : tensor<48x1024xi8>, tensor<4x512x16x2xi8>) outs(%f : tensor<48x64xi32>) {
  ^bb0(%p: i8, %q: i8, %s: i32):
    %0 = arith.extui %p : i8 to i32
    %1 = arith.extsi %q : i8 to i32
    %2 = arith.muli %0, %1 : i32
    %3 = arith.addi %s, %2 : i32
    linalg.yield %3 : i32
  } -> tensor<48x64xi32>
  return %c : tensor<48x64xi32>
}
