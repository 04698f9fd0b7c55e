// RUN: neo-opt --neo-schedule=target=x86-64-v3 %s | FileCheck %s

// Trees of any shape: the rows that reach a node are split between its children, then leaves name their rows.
// CHECK-LABEL: func.func @ragged
// CHECK-SAME:    neo.schedule = "forest_bits"
// CHECK:         arith.cmpi sgt, {{.*}} : vector<32xi8>
// CHECK:         arith.andi {{.*}} : vector<32xi8>
// CHECK:         arith.xori {{.*}} : vector<32xi8>
// CHECK:         arith.select {{.*}} : vector<32xi1>, vector<32xi8>
// CHECK:         vector.gather {{.*}} into vector<8xf32>
func.func @ragged(%x: tensor<?x4xf32>, %features: tensor<16xi32>, %missing: tensor<16xi32>, %cuts: tensor<16x3xf32>,
                  %begin: tensor<3xi32>, %columns: tensor<9xi8>, %ranks: tensor<9xi8>, %children: tensor<9x2xi16>,
                  %values: tensor<11xf32>, %classes: tensor<2xi32>, %base: tensor<1xf32>, %out: tensor<?xf32>) -> tensor<?xf32> {
  %y = "forest.ragged"(%x, %features, %missing, %cuts, %begin, %begin, %columns, %ranks, %children, %values, %classes,
                       %base, %out) {slots = 8 : i64, leaves = 9 : i64, depth = 8 : i64, missing = "right"}
    : (tensor<?x4xf32>, tensor<16xi32>, tensor<16xi32>, tensor<16x3xf32>, tensor<3xi32>, tensor<3xi32>, tensor<9xi8>,
       tensor<9xi8>, tensor<9x2xi16>, tensor<11xf32>, tensor<2xi32>, tensor<1xf32>, tensor<?xf32>) -> tensor<?xf32>
  return %y : tensor<?xf32>
}
