// RUN: neo-opt --neo-schedule=target=znver2 %s | FileCheck %s

// Four items of 32 rows. Of 42 rows, which are about as many points as an item should have, the last would have two.
// CHECK-LABEL: func.func @rows
// CHECK:         scf.forall (%{{.*}}) in (4)
// CHECK:           arith.muli %{{.*}}, %c32
func.func @rows(%x: tensor<128x384xf32>, %out: tensor<128x384xf32>) -> tensor<128x384xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<128xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<128xf32>) -> tensor<128xf32>
  %sum = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>], iterator_types = ["parallel", "reduction"]}
      ins(%x : tensor<128x384xf32>) outs(%f : tensor<128xf32>) {
  ^bb0(%a: f32, %acc: f32):
    %s = arith.addf %acc, %a : f32
    linalg.yield %s : f32
  } -> tensor<128xf32>
  %r = linalg.generic {
    indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>, affine_map<(i, j) -> (i, j)>],
    iterator_types = ["parallel", "parallel"]
  } ins(%x, %sum : tensor<128x384xf32>, tensor<128xf32>) outs(%out : tensor<128x384xf32>) {
  ^bb0(%a: f32, %s: f32, %o: f32):
    %y = arith.divf %a, %s : f32
    linalg.yield %y : f32
  } -> tensor<128x384xf32>
  return %r : tensor<128x384xf32>
}

// Three would be as near to the size that an item should have; four are two for each of two threads.
// CHECK-LABEL: func.func @sum
// CHECK:         scf.forall (%{{.*}}) in (4)
func.func @sum(%x: tensor<49152xf32>, %y: tensor<49152xf32>, %out: tensor<49152xf32>) -> tensor<49152xf32> {
  %r = linalg.generic {indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>, affine_map<(i) -> (i)>], iterator_types = ["parallel"]}
      ins(%x, %y : tensor<49152xf32>, tensor<49152xf32>) outs(%out : tensor<49152xf32>) {
  ^bb0(%a: f32, %c: f32, %o: f32):
    %s = arith.addf %a, %c : f32
    linalg.yield %s : f32
  } -> tensor<49152xf32>
  return %r : tensor<49152xf32>
}

// Rows enough for one block, and columns enough for one item: two items of half of them each.
// CHECK-LABEL: func.func @few_rows
// CHECK:         scf.forall (%{{.*}}) in (2)
func.func @few_rows(%a: tensor<49x4608xf32>, %b: tensor<32x4608x16xf32>, %out: tensor<49x512xf32>) -> tensor<49x512xf32> {
  %zero = arith.constant 0.0 : f32
  %f = linalg.fill ins(%zero : f32) outs(%out : tensor<49x512xf32>) -> tensor<49x512xf32>
  %c = linalg.generic {
    indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n floordiv 16, k, n mod 16)>, affine_map<(m, n, k) -> (m, n)>],
    iterator_types = ["parallel", "parallel", "reduction"]
  } ins(%a, %b : tensor<49x4608xf32>, tensor<32x4608x16xf32>) outs(%f : tensor<49x512xf32>) {
  ^bb0(%x: f32, %y: f32, %acc: f32):
    %p = arith.mulf %x, %y : f32
    %s = arith.addf %acc, %p : f32
    linalg.yield %s : f32
  } -> tensor<49x512xf32>
  return %c : tensor<49x512xf32>
}

// Weights a little larger than the second-level cache pass by halves of the rows; much larger ones by all of them.
// CHECK-LABEL: func.func @halves
// CHECK:         scf.forall (%{{.*}}) in (48)
func.func @halves(%a: tensor<128x384xf32>, %b: tensor<24x384x16xf32>, %out: tensor<128x384xf32>) -> tensor<128x384xf32> {
  %zero = arith.constant 0.0 : f32
  %f = linalg.fill ins(%zero : f32) outs(%out : tensor<128x384xf32>) -> tensor<128x384xf32>
  %c = linalg.generic {
    indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n floordiv 16, k, n mod 16)>, affine_map<(m, n, k) -> (m, n)>],
    iterator_types = ["parallel", "parallel", "reduction"]
  } ins(%a, %b : tensor<128x384xf32>, tensor<24x384x16xf32>) outs(%f : tensor<128x384xf32>) {
  ^bb0(%x: f32, %y: f32, %acc: f32):
    %p = arith.mulf %x, %y : f32
    %s = arith.addf %acc, %p : f32
    linalg.yield %s : f32
  } -> tensor<128x384xf32>
  return %c : tensor<128x384xf32>
}

// CHECK-LABEL: func.func @whole
// CHECK:         scf.forall (%{{.*}}) in (96)
func.func @whole(%a: tensor<128x384xf32>, %b: tensor<96x384x16xf32>, %out: tensor<128x1536xf32>) -> tensor<128x1536xf32> {
  %zero = arith.constant 0.0 : f32
  %f = linalg.fill ins(%zero : f32) outs(%out : tensor<128x1536xf32>) -> tensor<128x1536xf32>
  %c = linalg.generic {
    indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n floordiv 16, k, n mod 16)>, affine_map<(m, n, k) -> (m, n)>],
    iterator_types = ["parallel", "parallel", "reduction"]
  } ins(%a, %b : tensor<128x384xf32>, tensor<96x384x16xf32>) outs(%f : tensor<128x1536xf32>) {
  ^bb0(%x: f32, %y: f32, %acc: f32):
    %p = arith.mulf %x, %y : f32
    %s = arith.addf %acc, %p : f32
    linalg.yield %s : f32
  } -> tensor<128x1536xf32>
  return %c : tensor<128x1536xf32>
}
