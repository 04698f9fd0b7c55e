// RUN: neo-opt %s --split-input-file | FileCheck %s
// RUN: not neo-opt %s 2>&1 | FileCheck %s --check-prefix=WHOLE

// WHOLE: split_input_file.mlir:[[#@LINE+9]]:1: error: redefinition of symbol named 'f'
// CHECK: func.func @f() {
// CHECK: // -----
// CHECK: func.func @f(%{{.*}}: i32)
func.func @f() {
  return
}

// -----
func.func @f(%a: i32) {
  return
}
