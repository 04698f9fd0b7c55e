// RUN: neo-opt %s --split-input-file --verify-diagnostics
// RUN: sed s/undeclared/unheard-of/ %s > %t && not neo-opt %t -split-input-file -verify-diagnostics 2>&1 | FileCheck %s
// RUN: not neo-opt %s --split-input-file 2>&1 | FileCheck %s --check-prefix=PLAIN

// CHECK-DAG: :[[#@LINE+10]]:1: error: unexpected error: use of undeclared SSA value name
// CHECK-DAG: error: expected error "unheard-of SSA value" was not produced
// PLAIN: verify_diagnostics.mlir:[[#@LINE+3]]:25: error: 'func.return' op has 0 operands
// PLAIN: verify_diagnostics.mlir:[[#@LINE+7]]:10: error: use of undeclared SSA value name
// expected-error@below {{has 0 operands}}
func.func @g() -> i32 { return }

// -----
func.func @h() -> i32 {
  // expected-error @+1 {{undeclared SSA value}}
  return %q : i32
}
