// RUN: neo-opt --neo-emit-thunks %s | FileCheck %s

// The thunk reads a pointer a static buffer, a pointer and an extent a dynamic one.
// CHECK:       llvm.func internal @kernel(
// CHECK-SAME:    llvm.noalias
// CHECK-LABEL: llvm.func @kernel.run(
// CHECK-SAME:    %{{.*}}: i64, %{{.*}}: i64, %[[DATA:.*]]: !llvm.ptr)
// CHECK:         llvm.getelementptr %[[DATA]][0]
// CHECK:         llvm.getelementptr %[[DATA]][8]
// CHECK:         llvm.getelementptr %[[DATA]][16]
// CHECK:         llvm.call @kernel(
llvm.func @kernel(%a0: !llvm.ptr, %a1: !llvm.ptr, %a2: i64, %a3: i64, %a4: i64,
                  %b0: !llvm.ptr, %b1: !llvm.ptr, %b2: i64, %b3: i64, %b4: i64, %lo: i64, %hi: i64)
    attributes {neo.signature = (memref<8xf32>, memref<?xf32>, index, index) -> ()} {
  llvm.return
}
