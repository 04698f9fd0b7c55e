// RUN: neo-opt --neo-schedule=target=x86-64-v4 --split-input-file %s | FileCheck %s

#map = affine_map<(m, n, k) -> (m, k)>
#map1 = affine_map<(m, n, k) -> (k, n)>
#map2 = affine_map<(m, n, k) -> (m, n)>

// A register tile of 2 rows of 1 vector, as told; what was not told is the schedule's own, and is written down too.
// CHECK-LABEL: func.func @told
// CHECK-SAME:    neo.parameters = {item = {{[0-9]+}} : i64, rows = 2 : i64, vectors = 1 : i64}
// CHECK:         scf.for {{.*}} iter_args(%{{[a-z0-9_]*}} = %{{[a-z0-9_]*}}, %{{[a-z0-9_]*}} = %{{[a-z0-9_]*}}) -> (vector<16xf32>, vector<16xf32>)
func.func @told(%a: tensor<8x128xf32>, %b: tensor<128x64xf32>, %out: tensor<8x64xf32>) -> tensor<8x64xf32>
    attributes {neo.parameters = {rows = 2 : i64, vectors = 1 : i64}} {
  %zero = arith.constant 0.0 : f32
  %f = linalg.fill ins(%zero : f32) outs(%out : tensor<8x64xf32>) -> tensor<8x64xf32>
  %c = linalg.generic {indexing_maps = [#map, #map1, #map2], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%a, %b : tensor<8x128xf32>, tensor<128x64xf32>) outs(%f : tensor<8x64xf32>) {
  ^bb0(%x: f32, %y: f32, %acc: f32):
    %p = arith.mulf %x, %y : f32
    %s = arith.addf %acc, %p : f32
    linalg.yield %s : f32
  } -> tensor<8x64xf32>
  return %c : tensor<8x64xf32>
}

// -----

// A value that is not in the space of the schedule, as after a change of the schedule, is not taken; a name that no
// schedule asks for is forgotten.
// CHECK-LABEL: func.func @stale
// CHECK-SAME:    neo.parameters = {item = 16384 : i64, unroll = 4 : i64}
func.func @stale(%a: tensor<999xf32>, %out: tensor<999xf32>) -> tensor<999xf32>
    attributes {neo.parameters = {rows = 3 : i64, unroll = 77 : i64}} {
  %c = linalg.generic {
    indexing_maps = [affine_map<(n) -> (n)>, affine_map<(n) -> (n)>], iterator_types = ["parallel"]
  } ins(%a : tensor<999xf32>) outs(%out : tensor<999xf32>) {
  ^bb0(%x: f32, %o: f32):
    %s = arith.addf %x, %x : f32
    linalg.yield %s : f32
  } -> tensor<999xf32>
  return %c : tensor<999xf32>
}
