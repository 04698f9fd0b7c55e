// RUN: neo-opt --neo-emit-entry %s | FileCheck %s

// Extents that must agree are compared before anything runs; 3 is NEO_DIMS_DISAGREE.
// CHECK-LABEL: llvm.func @neo_main(
// CHECK-DAG:     %[[FOUR:.*]] = llvm.mlir.constant(4 : i64)
// CHECK:         %[[A:.*]] = llvm.icmp "ne" %{{.*}}, %[[FOUR]] : i64
// CHECK:         %[[B:.*]] = llvm.icmp "ne" %{{.*}}, %{{.*}} : i64
// CHECK-NOT:     llvm.icmp
// CHECK:         %[[ANY:.*]] = llvm.or %[[A]], %[[B]]
// CHECK:         llvm.cond_br %[[ANY]], ^[[NO:.*]], ^[[YES:.*]]
// CHECK:       ^[[NO]]:
// CHECK:         %[[THREE:.*]] = llvm.mlir.constant(3 : i32)
// CHECK:         llvm.return %[[THREE]]
// CHECK:       ^[[YES]]:
// CHECK:         llvm.call @main(
llvm.func @main(%x0: !llvm.ptr, %x1: !llvm.ptr, %x2: i64, %x3: i64, %x4: i64, %x5: i64, %x6: i64,
                %z0: !llvm.ptr, %z1: !llvm.ptr, %z2: i64, %z3: i64, %z4: i64,
                %y0: !llvm.ptr, %y1: !llvm.ptr, %y2: i64, %y3: i64, %y4: i64,
                %w0: !llvm.ptr, %w1: !llvm.ptr, %w2: i64, %w3: i64, %w4: i64,
                %a0: !llvm.ptr, %a1: !llvm.ptr, %a2: i64, %a3: i64, %a4: i64, %runtime: !llvm.ptr)
    attributes {neo.extents = [array<i64: -2, 4>, array<i64: -2>], neo.outputs = [memref<4xf32>],
                neo.signature = (memref<?x?xf32>, memref<?xf32>, memref<4xf32>, memref<?xi8>, memref<?xi8>, !llvm.ptr) -> ()} {
  llvm.return
}
