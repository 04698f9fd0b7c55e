// RUN: neo-opt --neo-lower-dispatch %s | FileCheck %s

// Arguments go to slots: a pointer and the dynamic extents a buffer. The runtime sees every kernel, one of one item too.
// CHECK:       llvm.func internal @neo_parallel_for
// CHECK-LABEL: func.func @main
// CHECK:         %[[SLOTS:.*]] = memref.alloca() : memref<3xi64>
// CHECK:         memref.extract_aligned_pointer_as_index
// CHECK-COUNT-3: memref.store %{{.*}}, %[[SLOTS]]
// CHECK:         %[[BODY:.*]] = llvm.mlir.addressof @kernel.run
// CHECK:         llvm.call @neo_parallel_for(%{{.*}}, %{{.*}}, %[[BODY]], %{{.*}})
// CHECK:         llvm.call @neo_parallel_for(
// CHECK-NOT:     neo.dispatch
func.func @main(%x: memref<?xf32>, %y: memref<4xf32>, %runtime: !llvm.ptr) {
  %one = arith.constant 1 : index
  %eight = arith.constant 8 : index
  %a = builtin.unrealized_conversion_cast %x, %y : memref<?xf32>, memref<4xf32> to tuple<memref<?xf32>, memref<4xf32>>
  "neo.dispatch"(%runtime, %one, %a) {kernel = @kernel} : (!llvm.ptr, index, tuple<memref<?xf32>, memref<4xf32>>) -> ()
  %b = builtin.unrealized_conversion_cast %x, %y : memref<?xf32>, memref<4xf32> to tuple<memref<?xf32>, memref<4xf32>>
  "neo.dispatch"(%runtime, %eight, %b) {kernel = @kernel} : (!llvm.ptr, index, tuple<memref<?xf32>, memref<4xf32>>) -> ()
  return
}

// A buffer that begins behind its pointer is passed by the address of its first element.
// CHECK-LABEL: func.func @part
// CHECK:         %[[P:.*]] = memref.extract_aligned_pointer_as_index %{{.*}} : memref<4xf32, strided<[1], offset: 12>> -> index
// CHECK:         %[[BYTES:.*]] = arith.constant 48 : index
// CHECK:         arith.addi %[[P]], %[[BYTES]] : index
func.func @part(%x: memref<16xf32>, %runtime: !llvm.ptr) {
  %one = arith.constant 1 : index
  %v = memref.reinterpret_cast %x to offset: [12], sizes: [4], strides: [1] : memref<16xf32> to memref<4xf32, strided<[1], offset: 12>>
  %a = builtin.unrealized_conversion_cast %v : memref<4xf32, strided<[1], offset: 12>> to tuple<memref<4xf32, strided<[1], offset: 12>>>
  "neo.dispatch"(%runtime, %one, %a) {kernel = @kernel} : (!llvm.ptr, index, tuple<memref<4xf32, strided<[1], offset: 12>>>) -> ()
  return
}
