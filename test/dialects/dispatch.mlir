// RUN: neo-opt %s --verify-roundtrip | neo-opt | FileCheck %s
// RUN: neo-opt %s --emit-bytecode | neo-opt - | FileCheck %s

// CHECK-LABEL: func.func @run
// CHECK: %[[ARGS:.*]] = builtin.unrealized_conversion_cast
// CHECK: "neo.dispatch"(%{{.*}}, %{{.*}}, %[[ARGS]]) {kernel = @relu} : (!llvm.ptr, index, tuple<memref<8xf32>, index>) -> ()
func.func @run(%runtime: !llvm.ptr, %items: index, %a: memref<8xf32>) {
  %args = builtin.unrealized_conversion_cast %a, %items : memref<8xf32>, index to tuple<memref<8xf32>, index>
  "neo.dispatch"(%runtime, %items, %args) {kernel = @relu} : (!llvm.ptr, index, tuple<memref<8xf32>, index>) -> ()
  return
}
