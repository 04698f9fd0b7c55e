// RUN: neo-opt --neo-schedule=target=x86-64-v4 %s | FileCheck %s

// Four blocks of 140 rows: with fewer a panel would be used up before the next has come from memory. Seven parts of the
// reduction; of each, the rows of the block are copied, to rows a line longer than the part. Behind each tile its sums
// are kept in the result, or taken up, or taken up and finished.
// CHECK-LABEL: func.func @matmul
// CHECK:         %[[COPY:.*]] = memref.alloca() {{.*}} : memref<140x608xf32>
// CHECK-NOT:     memref.alloca
// CHECK:         scf.forall (%{{.*}}) in (8)
// CHECK:           scf.for %[[PART:.*]] = %c0 to %c4096 step %c592
// CHECK:             %[[FIRST:.*]] = arith.cmpi slt, %[[PART]], %c1
// CHECK:             scf.for
// CHECK:               scf.for
// CHECK:                 vector.load %{{.*}} : memref<560x4096xf32>, vector<16xf32>
// CHECK:                 vector.store %{{.*}}, %[[COPY]]
// CHECK:             scf.for %[[PANEL:.*]] = %{{.*}} to %{{.*}} step %c1
// CHECK:               scf.for %[[STRIP:.*]] = %{{.*}} to %{{.*}} step %c1
// CHECK-NOT:             scf.if
// CHECK:                 memref.prefetch %{{.*}}, write, locality<3>, data : memref<560x1024xf32>
// CHECK:                 scf.for %{{.*}} = %[[PART]] to %{{.*}} iter_args
// CHECK:                   memref.load %[[COPY]]
// CHECK:                   vector.load %{{.*}} : memref<32x4096x32xf32>, vector<16xf32>
// CHECK:                   math.fma
// CHECK:                 scf.if %[[FIRST]]
// CHECK:                   vector.store %{{.*}} : memref<560x1024xf32>
// CHECK:                 } else {
// CHECK:                   vector.load %{{.*}} : memref<560x1024xf32>
func.func @matmul(%a: tensor<560x4096xf32>, %b: tensor<32x4096x32xf32>, %out: tensor<560x1024xf32>) -> tensor<560x1024xf32> {
  %zero = arith.constant 0.0 : f32
  %f = linalg.fill ins(%zero : f32) outs(%out : tensor<560x1024xf32>) -> tensor<560x1024xf32>
  %c = linalg.generic {
    indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n floordiv 32, k, n mod 32)>, affine_map<(m, n, k) -> (m, n)>],
    iterator_types = ["parallel", "parallel", "reduction"]
  } ins(%a, %b : tensor<560x4096xf32>, tensor<32x4096x32xf32>) outs(%f : tensor<560x1024xf32>) {
  ^bb0(%x: f32, %y: f32, %acc: f32):
    %p = arith.mulf %x, %y : f32
    %s = arith.addf %acc, %p : f32
    linalg.yield %s : f32
  } -> tensor<560x1024xf32>
  return %c : tensor<560x1024xf32>
}

// The sums of few columns find room in scratch memory.
// CHECK-LABEL: func.func @few_columns
// CHECK:         %[[SUMS:.*]] = memref.alloca() {{.*}} : memref<80x28x16xf32>
// CHECK:         %[[COPY:.*]] = memref.alloca() {{.*}} : memref<140x608xf32>
// CHECK:                 %[[LAST:.*]] = arith.cmpi slt, %c4095
// CHECK:                 scf.for {{.*}} iter_args
// CHECK:                 scf.if
// CHECK:                   vector.store %{{.*}}, %[[SUMS]]
// CHECK:                 } else {
// CHECK:                   vector.load %[[SUMS]]
// CHECK:                   scf.if %[[LAST]]
// CHECK:                     vector.store %{{.*}} : memref<560x256xf32>
// CHECK:                   } else {
// CHECK:                     vector.store %{{.*}}, %[[SUMS]]
func.func @few_columns(%a: tensor<560x4096xf32>, %b: tensor<8x4096x32xf32>, %out: tensor<560x256xf32>) -> tensor<560x256xf32> {
  %zero = arith.constant 0.0 : f32
  %f = linalg.fill ins(%zero : f32) outs(%out : tensor<560x256xf32>) -> tensor<560x256xf32>
  %c = linalg.generic {
    indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n floordiv 32, k, n mod 32)>, affine_map<(m, n, k) -> (m, n)>],
    iterator_types = ["parallel", "parallel", "reduction"]
  } ins(%a, %b : tensor<560x4096xf32>, tensor<8x4096x32xf32>) outs(%f : tensor<560x256xf32>) {
  ^bb0(%x: f32, %y: f32, %acc: f32):
    %p = arith.mulf %x, %y : f32
    %s = arith.addf %acc, %p : f32
    linalg.yield %s : f32
  } -> tensor<560x256xf32>
  return %c : tensor<560x256xf32>
}
