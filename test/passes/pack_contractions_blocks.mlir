// RUN: neo-opt --neo-pack-contractions=target=cortex-a710 %s | FileCheck %s

#a = affine_map<(d0, d1, d2) -> (d0, d2)>
#b = affine_map<(d0, d1, d2) -> (d2, d1)>
#c = affine_map<(d0, d1, d2) -> (d0, d1)>

ml_program.global private @w(#ml_program.extern) : tensor<12x36xi8>
ml_program.global private @v(#ml_program.extern) : tensor<4x36xi8>

// A unit of blocks takes eight channels at a time; twelve are padded to sixteen, and 36 columns are three panels of 12.
// CHECK-DAG: #[[BLOCKS:.*]] = affine_map<(d0, d1, d2) -> (d1 floordiv 12, d2 floordiv 8, d1 mod 12, d2 mod 8)>
// CHECK-DAG: #[[ROWS:.*]] = affine_map<(d0, d1, d2) -> (d1 floordiv 8, d2 floordiv 4, d1 mod 8, d2 mod 4)>
// CHECK-LABEL: func.func @blocks
// CHECK:         linalg.generic {indexing_maps = [#{{.*}}, #[[BLOCKS]], #{{.*}}]{{.*}} ins(%{{.*}}, %{{.*}} : tensor<5x16xi8>, tensor<3x2x12x8xi8>)
func.func @blocks(%x: tensor<5x12xi8>) -> tensor<5x36xi32> {
  %zero = arith.constant 0 : i32
  %w = ml_program.global_load_const @w : tensor<12x36xi8>
  %e = tensor.empty() : tensor<5x36xi32>
  %f = linalg.fill ins(%zero : i32) outs(%e : tensor<5x36xi32>) -> tensor<5x36xi32>
  %c = linalg.generic {indexing_maps = [#a, #b, #c], iterator_types = ["parallel", "parallel", "reduction"]} ins(%x, %w : tensor<5x12xi8>, tensor<12x36xi8>) outs(%f : tensor<5x36xi32>) {
  ^bb0(%p: i8, %q: i8, %s: i32):
    %0 = arith.extsi %p : i8 to i32
    %1 = arith.extsi %q : i8 to i32
    %2 = arith.muli %0, %1 : i32
    %3 = arith.addi %s, %2 : i32
    linalg.yield %3 : i32
  } -> tensor<5x36xi32>
  return %c : tensor<5x36xi32>
}

// Four channels are one dot product of vectors, without padding, or one of blocks, with.
// CHECK-LABEL: func.func @rows
// CHECK:         linalg.generic {indexing_maps = [#{{.*}}, #[[ROWS]], #{{.*}}]{{.*}} ins(%{{.*}}, %{{.*}} : tensor<5x4xi8>, tensor<5x1x8x4xi8>)
func.func @rows(%x: tensor<5x4xi8>) -> tensor<5x36xi32> {
  %zero = arith.constant 0 : i32
  %w = ml_program.global_load_const @v : tensor<4x36xi8>
  %e = tensor.empty() : tensor<5x36xi32>
  %f = linalg.fill ins(%zero : i32) outs(%e : tensor<5x36xi32>) -> tensor<5x36xi32>
  %c = linalg.generic {indexing_maps = [#a, #b, #c], iterator_types = ["parallel", "parallel", "reduction"]} ins(%x, %w : tensor<5x4xi8>, tensor<4x36xi8>) outs(%f : tensor<5x36xi32>) {
  ^bb0(%p: i8, %q: i8, %s: i32):
    %0 = arith.extsi %p : i8 to i32
    %1 = arith.extsi %q : i8 to i32
    %2 = arith.muli %0, %1 : i32
    %3 = arith.addi %s, %2 : i32
    linalg.yield %3 : i32
  } -> tensor<5x36xi32>
  return %c : tensor<5x36xi32>
}
