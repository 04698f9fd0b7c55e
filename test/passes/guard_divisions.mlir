// RUN: neo-opt %s --neo-guard-divisions | FileCheck %s

// CHECK-LABEL: func.func @signed(%arg0: i32, %arg1: i32)
// CHECK:         %[[ZERO:.*]] = arith.cmpi eq, %arg1, %c0
// CHECK:         %[[A:.*]] = arith.select %[[ZERO]], %{{.*}}, %arg1
// CHECK:         %[[MINUS:.*]] = arith.cmpi eq, %arg1, %c-1
// CHECK:         %[[B:.*]] = arith.select %[[MINUS]], %{{.*}}, %[[A]]
// CHECK:         %[[Q:.*]] = arith.divsi %arg0, %[[B]]
// CHECK:         %[[N:.*]] = arith.subi %{{.*}}, %arg0
// CHECK:         %[[S:.*]] = arith.select %[[MINUS]], %[[N]], %[[Q]]
// CHECK:         %[[R:.*]] = arith.select %[[ZERO]], %{{.*}}, %[[S]]
// CHECK:         return %[[R]]
func.func @signed(%a: i32, %b: i32) -> i32 {
  %0 = arith.divsi %a, %b : i32
  return %0 : i32
}

// CHECK-LABEL: func.func @vectors
// CHECK:         arith.cmpi eq, %{{.*}} : vector<4xindex>
// CHECK:         %[[B:.*]] = arith.select %{{.*}} : vector<4xi1>, vector<4xindex>
// CHECK:         %[[R:.*]] = arith.remui %{{.*}}, %[[B]] : vector<4xindex>
// CHECK:         return %[[R]]
func.func @vectors(%a: vector<4xindex>, %b: vector<4xindex>) -> vector<4xindex> {
  %0 = arith.remui %a, %b : vector<4xindex>
  return %0 : vector<4xindex>
}

// CHECK-LABEL: func.func @harmless
// CHECK-NOT:     select
func.func @harmless(%a: vector<4xi64>, %b: index) -> (vector<4xi64>, index) {
  %three = arith.constant dense<3> : vector<4xi64>
  %eight = arith.constant 8 : index
  %0 = arith.divsi %a, %three : vector<4xi64>
  %1 = arith.remui %b, %eight : index
  return %0, %1 : vector<4xi64>, index
}
