// A pass that breaks the module is found out behind it, unless nobody looks.
// RUN: not neo-opt %s --load-pass=%S/Inputs/break.py --test-break 2>&1 | FileCheck %s
// RUN: neo-opt %s --load-pass=%S/Inputs/break.py --test-break --verify-each=false | FileCheck %s --check-prefix=LEFT

// CHECK: verify_each.mlir:[[#@LINE+2]]:{{.*}}: error: 'func.return' op has 1 operands, but enclosing function (@f) returns 0
// LEFT: "func.func"()
func.func @f(%a: i32) -> i32 { return %a : i32 }
