// A failure leaves the module before the failing pass and what was left to run; running that fails alike.
// RUN: rm -f %t && not neo-opt %s --cse --neo-transform=library=/none --canonicalize --mlir-pass-pipeline-crash-reproducer=%t --mlir-print-ir-after-failure 2>&1 | FileCheck %s --check-prefix=ERROR
// RUN: FileCheck %s < %t
// RUN: not neo-opt %t --run-reproducer 2>&1 | FileCheck %s --check-prefix=AGAIN
// RUN: rm -f %t && neo-opt %s --cse --mlir-pass-pipeline-crash-reproducer=%t && not ls %t %t.pending
// RUN: not neo-opt %s --run-reproducer 2>&1 | FileCheck %s --check-prefix=NONE

// ERROR: IR Dump After neo-transform{library=/none} Failed
// ERROR: neo-opt: error: neo-transform: option 'library': no such file: '/none'
// AGAIN: neo-opt: error: neo-transform: option 'library': no such file: '/none'
// NONE: neo-opt: error: --run-reproducer: the input carries no pipeline
// CHECK-COUNT-1: arith.addi
// CHECK-NOT: arith.addi
// CHECK: pipeline: "builtin.module(neo-transform{library=/none},canonicalize)"
func.func @f(%a: i32) -> (i32, i32) {
  %0 = arith.addi %a, %a : i32
  %1 = arith.addi %a, %a : i32
  return %0, %1 : i32, i32
}
