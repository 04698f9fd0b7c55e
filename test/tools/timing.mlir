// RUN: neo-opt %s --pass-pipeline='builtin.module(neo-drop-asserts,func.func(cse))' --mlir-timing -o %t 2>&1 | FileCheck %s
// RUN: neo-opt %s --cse --mlir-pass-statistics -o %t 2>&1 | FileCheck %s --check-prefix=STATISTICS

// The wheel is built without counters: upstream's report has a head and no lines.
// CHECK: Execution time report
// CHECK: neo-drop-asserts
// CHECK: func.func(cse)
// CHECK: Total
// STATISTICS: Pass statistics report
func.func @f(%a: i32) -> (i32, i32) {
  %0 = arith.addi %a, %a : i32
  %1 = arith.addi %a, %a : i32
  return %0, %1 : i32, i32
}
