// RUN: sed '/RUN/d;s/^#mark/\/\/ ~~~~~/' %s > %t && neo-opt %t --split-input-file='// ~~~~~' --output-split-marker='// =====' | FileCheck %s
// RUN: sed '/RUN/d;s/^#mark/\/\/ ----/' %s > %t && not neo-opt %t --split-input-file 2>&1 | FileCheck %s --check-prefix=NEAR
// RUN: sed '/RUN/d;s/^#mark/\/\/ -----/;s/i32/i99999999/' %s > %t && not neo-opt %t --split-input-file 2>&1 | FileCheck %s --check-prefix=PART

// NEAR: split_marker.mlir.tmp:[[#@LINE+10]]:1: warning: near miss with file split marker
// NEAR: error: redefinition of symbol

// What is sound is printed, as mlir-opt does; the place of an error is that in the whole file.
// PART: split_marker.mlir.tmp:[[#@LINE+7]]:18: error:
// PART-NEXT: func.func @f(%a: i99999999) { return }
// PART-NEXT: {{^}}                 ^
// PART: func.func @f() {

// CHECK: func.func @f() {
// CHECK: {{^}}// ====={{$}}
// CHECK: func.func @f(%{{.*}}: i32)
func.func @f() { return }
#mark
func.func @f(%a: i32) { return }
