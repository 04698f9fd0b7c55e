// RUN: neo-opt --neo-schedule=target=x86-64-v3 %s | FileCheck %s

// Inputs of a tile are transformed as words, then filters a panel at a time. Sums are 576 times too
// large: the inverse of 9, and a shift by 6, and what moving unsigned rows down by 128 took off is added.
// CHECK-LABEL: func.func @convolution
// CHECK-SAME:    winograd = 4
// CHECK-SAME:    neo.schedule = "words"
// CHECK-DAG:     memref.alloca() {alignment = 64 : i64} : memref<19584xi16>
// CHECK-DAG:     memref.alloca() {alignment = 64 : i64} : memref<25x6x6x16xi32>
// CHECK-DAG:     %[[LOW:.*]] = arith.constant dense<128> : vector<16xi16>
// CHECK-DAG:     %[[INVERSE:.*]] = arith.constant dense<954437177> : vector<8xi32>
// CHECK:         scf.forall
// CHECK:           arith.extui %{{.*}} : vector<16xi8> to vector<16xi16>
// CHECK:           arith.subi %{{.*}}, %[[LOW]] : vector<16xi16>
// CHECK:           vector.store
// CHECK:           arith.extsi %{{.*}} : vector<16xi8> to vector<16xi16>
// CHECK:           arith.addi %{{.*}} : vector<16xi16>
// CHECK:           vector.store
// CHECK:           scf.for {{.*}} iter_args
// CHECK:             llvm.call @llvm.x86.avx2.pmadd.wd
// CHECK:           %[[ODD:.*]] = arith.muli %{{.*}}, %[[INVERSE]] : vector<8xi32>
// CHECK:           %[[SHIFTED:.*]] = arith.shrsi %[[ODD]], %{{.*}} : vector<8xi32>
// CHECK:           arith.addi %[[SHIFTED]], %{{.*}} : vector<8xi32>
#a = affine_map<(d0, d1, d2, d3, d4, d5) -> (d0 + d3, d1 + d4, d5)>
#b = affine_map<(d0, d1, d2, d3, d4, d5) -> (d2 floordiv 16, d3, d4, d5 floordiv 2, d2 mod 16, d5 mod 2)>
#c = affine_map<(d0, d1, d2, d3, d4, d5) -> (d0, d1, d2)>
func.func @convolution(%x: tensor<30x30x32xi8>, %w: tensor<2x3x3x16x16x2xi8>, %out: tensor<28x28x32xi32>) -> tensor<28x28x32xi32> {
  %zero = arith.constant 0 : i32
  %f = linalg.fill ins(%zero : i32) outs(%out : tensor<28x28x32xi32>) -> tensor<28x28x32xi32>
  %c = linalg.generic {indexing_maps = [#a, #b, #c], iterator_types = ["parallel", "parallel", "parallel", "reduction", "reduction", "reduction"]} ins(%x, %w : tensor<30x30x32xi8>, tensor<2x3x3x16x16x2xi8>) outs(%f : tensor<28x28x32xi32>) {
  ^bb0(%p: i8, %q: i8, %s: i32):
    %0 = arith.extui %p : i8 to i32
    %1 = arith.extsi %q : i8 to i32
    %2 = arith.muli %0, %1 : i32
    %3 = arith.addi %s, %2 : i32
    linalg.yield %3 : i32
  } -> tensor<28x28x32xi32>
  return %c : tensor<28x28x32xi32>
}

// Moving by two, a window shares nothing with its neighbours.
// CHECK-LABEL: func.func @strided
// CHECK-NOT:     winograd
#s = affine_map<(d0, d1, d2, d3, d4, d5) -> (d0 * 2 + d3, d1 * 2 + d4, d5)>
func.func @strided(%x: tensor<30x30x32xi8>, %w: tensor<2x3x3x16x16x2xi8>, %out: tensor<14x14x32xi32>) -> tensor<14x14x32xi32> {
  %zero = arith.constant 0 : i32
  %f = linalg.fill ins(%zero : i32) outs(%out : tensor<14x14x32xi32>) -> tensor<14x14x32xi32>
  %c = linalg.generic {indexing_maps = [#s, #b, #c], iterator_types = ["parallel", "parallel", "parallel", "reduction", "reduction", "reduction"]} ins(%x, %w : tensor<30x30x32xi8>, tensor<2x3x3x16x16x2xi8>) outs(%f : tensor<14x14x32xi32>) {
  ^bb0(%p: i8, %q: i8, %s: i32):
    %0 = arith.extui %p : i8 to i32
    %1 = arith.extsi %q : i8 to i32
    %2 = arith.muli %0, %1 : i32
    %3 = arith.addi %s, %2 : i32
    linalg.yield %3 : i32
  } -> tensor<14x14x32xi32>
  return %c : tensor<14x14x32xi32>
}
