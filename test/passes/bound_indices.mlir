// RUN: neo-opt %s --neo-bound-indices | FileCheck %s

// An index that was read stays between the first and the last element; a vector of three fits before the end.
// CHECK-LABEL: func.func @gather
// CHECK:         %[[T:.*]] = arith.index_cast
// CHECK:         %[[D:.*]] = memref.dim %arg1, %{{.*}}
// CHECK:         %[[LAST:.*]] = arith.subi %[[D]], %c1
// CHECK:         %[[LOW:.*]] = arith.minsi %[[T]], %[[LAST]]
// CHECK:         %[[ROW:.*]] = arith.maxsi %[[LOW]], %c0
// CHECK:         memref.load %arg1[%[[ROW]], %arg2]
// CHECK:         %[[LOW2:.*]] = arith.minsi %{{.*}}, %c5
// CHECK:         %[[COLUMN:.*]] = arith.maxsi %[[LOW2]]
// CHECK:         vector.load %arg1[%arg2, %[[COLUMN]]]
func.func @gather(%ids: memref<?xi64>, %table: memref<?x8xf32>, %j: index) -> (f32, vector<3xf32>) {
  %0 = memref.load %ids[%j] : memref<?xi64>
  %1 = arith.index_cast %0 : i64 to index
  %2 = memref.load %table[%1, %j] : memref<?x8xf32>
  %3 = arith.addi %1, %j : index
  %4 = vector.load %table[%j, %3] : memref<?x8xf32>, vector<3xf32>
  return %2, %4 : f32, vector<3xf32>
}

// CHECK-LABEL: func.func @masked
// CHECK:         %[[ROW:.*]] = arith.maxsi
// CHECK:         vector.maskedload %arg1[%[[ROW]], %arg2]
func.func @masked(%id: i32, %table: memref<5x8xf32>, %j: index, %mask: vector<4xi1>, %rest: vector<4xf32>) -> vector<4xf32> {
  %0 = arith.index_castui %id : i32 to index
  %1 = vector.maskedload %table[%0, %j], %mask, %rest : memref<5x8xf32>, vector<4xi1>, vector<4xf32> into vector<4xf32>
  return %1 : vector<4xf32>
}

// CHECK-LABEL: func.func @loop
// CHECK-NOT:     arith.minsi
func.func @loop(%a: memref<8xf32>, %n: index) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %three = arith.constant 3 : i64
  %c3 = arith.index_cast %three : i64 to index
  scf.for %i = %c0 to %n step %c1 {
    %0 = memref.load %a[%i] : memref<8xf32>
    memref.store %0, %a[%c3] : memref<8xf32>
  }
  return
}
