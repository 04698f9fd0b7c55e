// RUN: neo-opt --neo-schedule=target=x86-64-v3 %s | FileCheck %s

// A pad is a copy and four borders, each with its own work items in one scf.forall.
// CHECK-LABEL: func.func @pad
// CHECK:       scf.forall (%[[ITEM:.*]]) in (5)
// CHECK:         arith.cmpi slt, %[[ITEM]], %c1
// CHECK:           vector.load %{{.*}} : memref<6x192xf32>, vector<8xf32>
// CHECK:         else
// CHECK:         arith.cmpi slt, %[[ITEM]], %c2
// CHECK-NOT:     vector.load
// CHECK:           vector.store
func.func @pad(%a: tensor<6x6x32xf32>, %out: tensor<8x8x32xf32>) -> tensor<8x8x32xf32> {
  %zero = arith.constant 0.0 : f32
  %r = tensor.pad %a low[1, 1, 0] high[1, 1, 0] {
  ^bb0(%i: index, %j: index, %k: index):
    tensor.yield %zero : f32
  } : tensor<6x6x32xf32> to tensor<8x8x32xf32>
  return %r : tensor<8x8x32xf32>
}
