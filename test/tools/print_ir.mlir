// RUN: neo-opt %s --pass-pipeline='builtin.module(neo-drop-asserts,func.func(cse,canonicalize))' --mlir-print-ir-before=cse --mlir-print-ir-after=canonicalize 2>&1 >%t | FileCheck %s --check-prefix=SOME
// RUN: neo-opt %s --neo-drop-asserts --cse --canonicalize --mlir-print-ir-before-all 2>&1 >%t | FileCheck %s --check-prefix=BEFORE
// RUN: neo-opt %s --neo-drop-asserts --cse --canonicalize --mlir-print-ir-after-all 2>&1 >%t | FileCheck %s --check-prefix=AFTER
// RUN: neo-opt %s --neo-drop-asserts --cse --canonicalize --mlir-print-ir-after-change 2>&1 >%t | FileCheck %s --check-prefix=CHANGE
// RUN: neo-opt %s --neo-drop-asserts --cse --canonicalize --mlir-print-ir-after-all --mlir-print-ir-after-change 2>&1 >%t | FileCheck %s --check-prefix=CHANGE
// RUN: neo-opt %s --cse --canonicalize --mlir-print-ir-after-all --mlir-print-ir-after-failure 2>&1 >%t | not grep Dump
// RUN: neo-opt %s --cse --mlir-print-ir-after-all --mlir-print-op-generic --mlir-print-ir-module-scope --mlir-disable-threading 2>&1 >%t | FileCheck %s --check-prefix=GENERIC
// RUN: not neo-opt %s --cse --mlir-print-ir-after-all --mlir-print-ir-tree-dir=%s/no 2>&1 >%t | FileCheck %s --check-prefix=SEALED
// RUN: rm -rf %t.d && neo-opt %s --neo-drop-asserts --cse --mlir-print-ir-after-all --mlir-print-ir-tree-dir=%t.d 2> %t.err >%t && not test -s %t.err
// RUN: ls %t.d/builtin_module_no-symbol-name | FileCheck %s --check-prefix=TREE

// SOME-NOT: IR Dump
// SOME: // -----// IR Dump Before func.func(cse) //----- //
// SOME-COUNT-2: arith.addi
// SOME-NOT: IR Dump
// SOME: // -----// IR Dump After func.func(canonicalize) //----- //
// SOME-COUNT-1: arith.addi
// SOME-NOT: arith.addi
// BEFORE: IR Dump Before neo-drop-asserts
// BEFORE: IR Dump Before cse
// BEFORE: IR Dump Before canonicalize
// AFTER: IR Dump After neo-drop-asserts
// AFTER: IR Dump After cse
// AFTER: IR Dump After canonicalize
// CHANGE-NOT: IR Dump
// CHANGE: IR Dump After cse
// CHANGE-NOT: IR Dump
// GENERIC: IR Dump After cse
// GENERIC: "func.func"()
// SEALED: neo-opt: error: cannot print to {{.*}}: Not a directory
// TREE: 0_after_neo-drop-asserts.mlir
// TREE-NEXT: 1_after_cse.mlir
func.func @f(%a: i32) -> (i32, i32) {
  %0 = arith.addi %a, %a : i32
  %1 = arith.addi %a, %a : i32
  return %0, %1 : i32, i32
}
