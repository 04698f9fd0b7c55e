// RUN: neo-opt %s -cse --canonicalize | FileCheck %s
// RUN: cat %s | neo-opt - --cse | FileCheck %s
// RUN: neo-opt %s --pass-pipeline='builtin.module(neo-drop-asserts,func.func(cse))' -o %t && FileCheck %s < %t
// RUN: neo-opt %s --emit-bytecode -o %t.bc && neo-opt %t.bc --cse | FileCheck %s

// CHECK-LABEL: func.func @f
// CHECK-COUNT-1: arith.addi
// CHECK-NOT: arith.addi
func.func @f(%a: i32) -> (i32, i32) {
  %0 = arith.addi %a, %a : i32
  %1 = arith.addi %a, %a : i32
  return %0, %1 : i32, i32
}
