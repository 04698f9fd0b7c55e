// RUN: neo-opt --neo-schedule=target=x86-64-v4 %s | FileCheck %s --check-prefix=WIDE
// RUN: neo-opt --neo-schedule=target=aarch64-multi %s | FileCheck %s --check-prefix=NARROW

// Two blocks of 56 rows: vectors of 512 bits use weights up faster than memory gives them, so both blocks pass by a
// panel before the next comes; narrow vectors leave the time to fetch all panels once for each block.
// WIDE-LABEL:   func.func @few
// WIDE-SAME:      neo.parameters = {{{.*}}panelwise = 1
// NARROW-LABEL: func.func @few
// NARROW-SAME:    neo.parameters = {{{.*}}panelwise = 0
func.func @few(%a: tensor<112x384xf32>, %b: tensor<12x384x32xf32>, %out: tensor<112x384xf32>) -> tensor<112x384xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<112x384xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<112x384xf32>) -> tensor<112x384xf32>
  %c = linalg.generic {
    indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n floordiv 32, k, n mod 32)>, affine_map<(m, n, k) -> (m, n)>],
    iterator_types = ["parallel", "parallel", "reduction"]
  } ins(%a, %b : tensor<112x384xf32>, tensor<12x384x32xf32>) outs(%f : tensor<112x384xf32>) {
  ^bb0(%x: f32, %y: f32, %acc: f32):
    %p = arith.mulf %x, %y : f32
    %s = arith.addf %acc, %p : f32
    linalg.yield %s : f32
  } -> tensor<112x384xf32>
  return %c : tensor<112x384xf32>
}

// From 64 rows on each of two threads had better keep to rows that it wrote before.
// WIDE-LABEL:   func.func @more
// WIDE-SAME:      neo.parameters = {{{.*}}panelwise = 0
func.func @more(%a: tensor<128x384xf32>, %b: tensor<12x384x32xf32>, %out: tensor<128x384xf32>) -> tensor<128x384xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<128x384xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<128x384xf32>) -> tensor<128x384xf32>
  %c = linalg.generic {
    indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n floordiv 32, k, n mod 32)>, affine_map<(m, n, k) -> (m, n)>],
    iterator_types = ["parallel", "parallel", "reduction"]
  } ins(%a, %b : tensor<128x384xf32>, tensor<12x384x32xf32>) outs(%f : tensor<128x384xf32>) {
  ^bb0(%x: f32, %y: f32, %acc: f32):
    %p = arith.mulf %x, %y : f32
    %s = arith.addf %acc, %p : f32
    linalg.yield %s : f32
  } -> tensor<128x384xf32>
  return %c : tensor<128x384xf32>
}
