// RUN: neo-opt --neo-schedule=target=neoverse-v1 %s | FileCheck %s

// A tile of accumulators of unknown length steps along a panel of 16 columns; masks end it where the panel ends.
// CHECK-LABEL: func.func @matmul
// CHECK-SAME:    neo.schedule = "contraction"
// CHECK:       %[[VSCALE:.*]] = vector.vscale
// CHECK:       scf.forall
// CHECK:         %[[LANES:.*]] = arith.muli %[[VSCALE]], %c4
// CHECK:         %[[STEP:.*]] = arith.muli %[[LANES]], %c2
// CHECK:         scf.for %[[J:.*]] = %c0{{.*}} to %c16{{.*}} step %[[STEP]]
// CHECK:           %[[LEFT:.*]] = arith.subi %c16{{.*}}, %[[J]]
// CHECK:           arith.minsi %[[LEFT]]
// CHECK:           %[[MASK:.*]] = vector.create_mask %{{.*}} : vector<[4]xi1>
// CHECK:           scf.for {{.*}} iter_args{{.*}} -> (vector<[4]xf32>, vector<[4]xf32>, {{.*}} {
// CHECK:             vector.maskedload %{{.*}}[%{{.*}}, %{{.*}}, %[[J]]], %[[MASK]], %{{.*}} into vector<[4]xf32>
// CHECK:             math.fma %{{.*}} : vector<[4]xf32>
// CHECK:           vector.maskedstore
func.func @matmul(%a: tensor<150x128xf32>, %b: tensor<4x128x16xf32>, %out: tensor<150x64xf32>) -> tensor<150x64xf32> {
  %zero = arith.constant 0.0 : f32
  %f = linalg.fill ins(%zero : f32) outs(%out : tensor<150x64xf32>) -> tensor<150x64xf32>
  %c = linalg.generic {
    indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n floordiv 16, k, n mod 16)>, affine_map<(m, n, k) -> (m, n)>],
    iterator_types = ["parallel", "parallel", "reduction"]
  } ins(%a, %b : tensor<150x128xf32>, tensor<4x128x16xf32>) outs(%f : tensor<150x64xf32>) {
  ^bb0(%x: f32, %y: f32, %acc: f32):
    %p = arith.mulf %x, %y : f32
    %s = arith.addf %acc, %p : f32
    linalg.yield %s : f32
  } -> tensor<150x64xf32>
  return %c : tensor<150x64xf32>
}

// Full vectors, then masked ones.
// CHECK-LABEL: func.func @negate
// CHECK:       scf.for
// CHECK:         vector.load %{{.*}} : memref<137xf32>, vector<[4]xf32>
// CHECK:         arith.negf %{{.*}} : vector<[4]xf32>
// CHECK:       scf.for
// CHECK:         vector.create_mask
// CHECK:         vector.maskedload
// CHECK:         vector.maskedstore
func.func @negate(%a: tensor<137xf32>, %out: tensor<137xf32>) -> tensor<137xf32> {
  %r = linalg.generic {indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>], iterator_types = ["parallel"]}
      ins(%a : tensor<137xf32>) outs(%out : tensor<137xf32>) {
  ^bb0(%x: f32, %o: f32):
    %y = arith.negf %x : f32
    linalg.yield %y : f32
  } -> tensor<137xf32>
  return %r : tensor<137xf32>
}

// A sum along a row: lanes past its end add the neutral element, and the lanes are combined at last.
// CHECK-LABEL: func.func @sum
// CHECK-SAME:    neo.schedule = "reduction"
// CHECK:       vector.load %{{.*}} : memref<5x100xf32>, vector<[4]xf32>
// CHECK:       vector.create_mask
// CHECK:       arith.select %{{.*}} : vector<[4]xi1>, vector<[4]xf32>
// CHECK:       vector.reduction <add>, %{{.*}} : vector<[4]xf32> into f32
func.func @sum(%a: tensor<5x100xf32>, %out: tensor<5xf32>) -> tensor<5xf32> {
  %zero = arith.constant 0.0 : f32
  %f = linalg.fill ins(%zero : f32) outs(%out : tensor<5xf32>) -> tensor<5xf32>
  %r = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>], iterator_types = ["parallel", "reduction"]}
      ins(%a : tensor<5x100xf32>) outs(%f : tensor<5xf32>) {
  ^bb0(%x: f32, %acc: f32):
    %s = arith.addf %acc, %x : f32
    linalg.yield %s : f32
  } -> tensor<5xf32>
  return %r : tensor<5xf32>
}

// Blocks are transposed in registers of a length that is known: NEON's.
// CHECK-LABEL: func.func @transpose
// CHECK-SAME:    neo.schedule = "elementwise"
// CHECK-NOT:   vector<[
// CHECK:       vector.shuffle %{{.*}} : vector<4xf32>, vector<4xf32>
func.func @transpose(%a: tensor<64x96xf32>, %out: tensor<96x64xf32>) -> tensor<96x64xf32> {
  %r = linalg.generic {indexing_maps = [affine_map<(i, j) -> (j, i)>, affine_map<(i, j) -> (i, j)>], iterator_types = ["parallel", "parallel"]}
      ins(%a : tensor<64x96xf32>) outs(%out : tensor<96x64xf32>) {
  ^bb0(%x: f32, %o: f32):
    linalg.yield %x : f32
  } -> tensor<96x64xf32>
  return %r : tensor<96x64xf32>
}
