// Remarks of passes and notes of the parser are expected as errors are; what nothing expects is an error.
// RUN: neo-opt %s --split-input-file --verify-diagnostics --transform-preload-library=transform-library-paths=%S/Inputs/remark.mlir --transform-interpreter
// RUN: sed 's/expected-remark/ignored-remark/;s/expected-note/ignored-note/' %s > %t
// RUN: not neo-opt %t --split-input-file --verify-diagnostics --transform-preload-library=transform-library-paths=%S/Inputs/remark.mlir --transform-interpreter 2>&1 | FileCheck %s
// RUN: neo-opt %t --split-input-file --verify-diagnostics=only-expected --transform-preload-library=transform-library-paths=%S/Inputs/remark.mlir --transform-interpreter

// CHECK-NOT: error
// CHECK: verify_diagnostics_forms.mlir.tmp:[[#@LINE+6]]:1: error: unexpected remark: a function
// CHECK-NOT: error
// CHECK: verify_diagnostics_forms.mlir.tmp:[[#@LINE+8]]:1: error: unexpected note: prior use here
// CHECK-NOT: error

// expected-remark @below {{a function}}
func.func private @f()

// -----

func.func @g(%a: i32) -> i64 {
  // expected-note @-1 {{prior use here}}
  // expected-error-re@below {{use of value '%a' expects {{[[:alpha:]]+}} type}}
  return %a : i64
}
