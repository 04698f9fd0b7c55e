// RUN: neo-opt %s --pass-pipeline='builtin.module(neo-drop-asserts,func.func(cse))' --mlir-timing -o %t 2>&1 | FileCheck %s
// RUN: neo-opt %s --cse --mlir-pass-statistics -o %t 2>&1 | FileCheck %s --check-prefix=STATISTICS

// RUN: neo-opt %s --cse --neo-drop-asserts --cse --mlir-pass-statistics --mlir-pass-statistics-display=list -o %t 2>&1 | FileCheck %s --check-prefix=LIST
// RUN: neo-opt %S/../passes/form_kernels_once.mlir --neo-form-kernels --mlir-pass-statistics -o %t 2>&1 | FileCheck %s --check-prefix=KERNELS

// CHECK: Execution time report
// CHECK: neo-drop-asserts
// CHECK: func.func(cse)
// CHECK: Total
// STATISTICS: Pass statistics report
// STATISTICS: {{^}}cse
// STATISTICS-NEXT: (S){{ +}}1 operations removed
// LIST: {{^}}cse
// LIST-NEXT: (S){{ +}}1 operations removed
// LIST-NEXT: {{^}}neo-drop-asserts
// LIST-NEXT: (S){{ +}}0 assertions dropped
// KERNELS: (S){{ +[0-9]+}} kernels
func.func @f(%a: i32) -> (i32, i32) {
  %0 = arith.addi %a, %a : i32
  %1 = arith.addi %a, %a : i32
  return %0, %1 : i32, i32
}
