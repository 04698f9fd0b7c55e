// RUN: neo-opt --neo-free-buffers --split-input-file %s | FileCheck %s

// What a kernel allocates is freed.
// CHECK-LABEL: func.func @allocates
// CHECK:         memref.alloc
// CHECK:         memref.dealloc
func.func @allocates(%x: f32, %n: index) -> f32 {
  %c0 = arith.constant 0 : index
  %a = memref.alloc(%n) : memref<?xf32>
  memref.store %x, %a[%c0] : memref<?xf32>
  %y = memref.load %a[%n] : memref<?xf32>
  return %y : f32
}

// -----

// An intrinsic is no obstacle where nothing is allocated.
// CHECK-LABEL: func.func @calls
// CHECK:         llvm.call_intrinsic "llvm.x86.tilerelease"
func.func @calls() {
  llvm.call_intrinsic "llvm.x86.tilerelease"() : () -> ()
  return
}
