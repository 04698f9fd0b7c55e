// RUN: neo-opt --neo-emit-entry %s | FileCheck %s

// The entry point reads the call's tables of inputs, extents and outputs, whose pointers may be of any width.
// CHECK:       llvm.func internal @main
// CHECK-LABEL: llvm.func @neo_main(
// CHECK-SAME:    %[[CALL:.*]]: !llvm.ptr) -> i32
// CHECK:         llvm.getelementptr %[[CALL]][0] : (!llvm.ptr) -> !llvm.ptr, !llvm.ptr
// CHECK:         llvm.getelementptr %[[CALL]][1] : (!llvm.ptr) -> !llvm.ptr, !llvm.ptr
// CHECK:         llvm.getelementptr %[[CALL]][2] : (!llvm.ptr) -> !llvm.ptr, !llvm.ptr
// CHECK:         llvm.call @main(
// CHECK:         %[[OK:.*]] = llvm.mlir.constant(0 : i32)
// CHECK:         llvm.return %[[OK]]
llvm.func @main(%x0: !llvm.ptr, %x1: !llvm.ptr, %x2: i64, %x3: i64, %x4: i64,
                %y0: !llvm.ptr, %y1: !llvm.ptr, %y2: i64, %y3: i64, %y4: i64,
                %w0: !llvm.ptr, %w1: !llvm.ptr, %w2: i64, %w3: i64, %w4: i64,
                %a0: !llvm.ptr, %a1: !llvm.ptr, %a2: i64, %a3: i64, %a4: i64, %runtime: !llvm.ptr)
    attributes {neo.outputs = [memref<4xf32>],
                neo.signature = (memref<?xf32>, memref<4xf32>, memref<?xi8>, memref<?xi8>, !llvm.ptr) -> ()} {
  llvm.return
}
