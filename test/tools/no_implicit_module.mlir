// The operation of the input is the root: passes run on it, and it alone is printed.
// RUN: neo-opt %s --no-implicit-module | FileCheck %s --check-prefix=AS-IS
// RUN: neo-opt %s --no-implicit-module --cse | FileCheck %s
// RUN: neo-opt %s --no-implicit-module --pass-pipeline='func.func(cse)' | FileCheck %s
// RUN: neo-opt %s --no-implicit-module --emit-bytecode -o %t && neo-opt %t --no-implicit-module --cse | FileCheck %s
// RUN: echo 'func.func @f() { return } func.func @g() { return }' > %t && not neo-opt %t --no-implicit-module 2>&1 | FileCheck %s --check-prefix=TWO
// RUN: not neo-opt %s --no-implicit-module --neo-drop-asserts 2>&1 | FileCheck %s --check-prefix=OURS

// TWO: error: source must contain a single top-level operation, found: 2
// OURS: error: pass 'neo-drop-asserts' works on modules: it cannot run nested in 'func.func'
// AS-IS-NOT: module
// AS-IS-COUNT-2: arith.addi
// CHECK-NOT: module
// CHECK: func.func @f
// CHECK-COUNT-1: arith.addi
// CHECK-NOT: arith.addi
func.func @f(%a: i32) -> (i32, i32) {
  %0 = arith.addi %a, %a : i32
  %1 = arith.addi %a, %a : i32
  return %0, %1 : i32, i32
}
