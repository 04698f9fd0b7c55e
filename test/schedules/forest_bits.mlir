// RUN: neo-opt --neo-schedule=target=x86-64-v4 %s | FileCheck %s
// RUN: neo-opt --neo-schedule=target=neoverse-n1 %s | FileCheck %s --check-prefix=NEON
// RUN: neo-opt --neo-lower-forest %s | FileCheck %s --check-prefix=LOOPS

// Rows by blocks of 256: columns ranked by gathers, each node compared as vectors of bytes whose bits are kept, the bits
// of the way chosen level by level, the values of the leaves gathered. Few rows one by one.
// CHECK-LABEL: func.func @heap
// CHECK-SAME:    neo.schedule = "forest_bits"
// CHECK:         scf.forall
// CHECK:           scf.if
// CHECK:             vector.gather {{.*}} into vector<16xf32>
// CHECK:             arith.cmpi sgt, {{.*}} : vector<64xi8>
// CHECK:             vector.bitcast {{.*}} : vector<64xi1> to vector<8xi8>
// CHECK:             arith.xori {{.*}} : vector<32xi8>
// CHECK:             vector.gather {{.*}} into vector<16xf32>
// CHECK:           } else {
// CHECK:             memref.load

// NEON:          arith.cmpi sgt, {{.*}} : vector<16xi8>

// LOOPS-LABEL: func.func @heap
// LOOPS-SAME:    neo.schedule = "scalar"
// LOOPS-NOT:     vector
func.func @heap(%x: tensor<?x4xf32>, %features: tensor<16xi32>, %missing: tensor<16xi32>, %cuts: tensor<16x3xf32>,
                %columns: tensor<9x4xi8>, %ranks: tensor<9x4xi8>, %values: tensor<9x4xf32>, %classes: tensor<2xi32>,
                %base: tensor<1xf32>, %out: tensor<?xf32>) -> tensor<?xf32> {
  %y = "forest.heap"(%x, %features, %missing, %cuts, %columns, %ranks, %values, %classes, %base, %out) {depth = 2 : i64, missing = "both"}
    : (tensor<?x4xf32>, tensor<16xi32>, tensor<16xi32>, tensor<16x3xf32>, tensor<9x4xi8>, tensor<9x4xi8>,
       tensor<9x4xf32>, tensor<2xi32>, tensor<1xf32>, tensor<?xf32>) -> tensor<?xf32>
  return %y : tensor<?xf32>
}
