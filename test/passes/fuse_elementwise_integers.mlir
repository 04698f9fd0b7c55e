// RUN: neo-opt --neo-fuse-elementwise --neo-fuse-elementwise --canonicalize --cse %s | FileCheck %s

#id = affine_map<(d0, d1) -> (d0, d1)>
#a = affine_map<(d0, d1, d2) -> (d0, d2)>
#b = affine_map<(d0, d1, d2) -> (d2, d1)>
#c = affine_map<(d0, d1, d2) -> (d0, d1)>

// Of two contractions whose results are quantised and then added, the addition computes one's bytes from its sums. The
// other keeps its own, which are a quarter of them, also where the pass comes a second time.
// CHECK-LABEL: func.func @main
// CHECK:         %[[FIRST:.*]] = linalg.generic {{.*}} ins(%arg0, %arg2 :
// CHECK:         %[[SECOND:.*]] = linalg.generic {{.*}} ins(%arg1, %arg2 :
// CHECK:         %[[BYTES:.*]] = linalg.generic {{.*}} ins(%[[SECOND]] : {{.*}} outs(%{{.*}} : tensor<4x16xi8>)
// CHECK:         linalg.generic {{.*}} ins(%[[FIRST]], %[[BYTES]] : {{.*}} outs(%{{.*}} : tensor<4x16xf32>)
// CHECK-NOT:     linalg.generic
func.func @main(%x: tensor<4x8xi8>, %y: tensor<4x8xi8>, %w: tensor<8x16xi8>) -> tensor<4x16xf32> {
  %i0 = arith.constant 0 : i32
  %scale = arith.constant 0.25 : f32
  %e32 = tensor.empty() : tensor<4x16xi32>
  %e8 = tensor.empty() : tensor<4x16xi8>
  %ef = tensor.empty() : tensor<4x16xf32>
  %start = linalg.fill ins(%i0 : i32) outs(%e32 : tensor<4x16xi32>) -> tensor<4x16xi32>
  %p = linalg.generic {indexing_maps = [#a, #b, #c], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%x, %w : tensor<4x8xi8>, tensor<8x16xi8>) outs(%start : tensor<4x16xi32>) {
  ^bb0(%l: i8, %r: i8, %o: i32):
    %1 = arith.extui %l : i8 to i32
    %2 = arith.extsi %r : i8 to i32
    %3 = arith.muli %1, %2 : i32
    %4 = arith.addi %o, %3 : i32
    linalg.yield %4 : i32
  } -> tensor<4x16xi32>
  %q = linalg.generic {indexing_maps = [#a, #b, #c], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%y, %w : tensor<4x8xi8>, tensor<8x16xi8>) outs(%start : tensor<4x16xi32>) {
  ^bb0(%l: i8, %r: i8, %o: i32):
    %1 = arith.extui %l : i8 to i32
    %2 = arith.extsi %r : i8 to i32
    %3 = arith.muli %1, %2 : i32
    %4 = arith.addi %o, %3 : i32
    linalg.yield %4 : i32
  } -> tensor<4x16xi32>
  %pb = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%p : tensor<4x16xi32>) outs(%e8 : tensor<4x16xi8>) {
  ^bb0(%l: i32, %o: i8):
    %1 = arith.sitofp %l : i32 to f32
    %2 = arith.mulf %1, %scale : f32
    %3 = arith.fptosi %2 : f32 to i8
    linalg.yield %3 : i8
  } -> tensor<4x16xi8>
  %qb = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%q : tensor<4x16xi32>) outs(%e8 : tensor<4x16xi8>) {
  ^bb0(%l: i32, %o: i8):
    %1 = arith.sitofp %l : i32 to f32
    %2 = arith.mulf %1, %scale : f32
    %3 = arith.fptosi %2 : f32 to i8
    linalg.yield %3 : i8
  } -> tensor<4x16xi8>
  %sum = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%pb, %qb : tensor<4x16xi8>, tensor<4x16xi8>) outs(%ef : tensor<4x16xf32>) {
  ^bb0(%l: i8, %r: i8, %o: f32):
    %1 = arith.sitofp %l : i8 to f32
    %2 = arith.sitofp %r : i8 to f32
    %3 = arith.addf %1, %2 : f32
    linalg.yield %3 : f32
  } -> tensor<4x16xf32>
  return %sum : tensor<4x16xf32>
}
