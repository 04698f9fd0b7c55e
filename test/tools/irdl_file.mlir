// RUN: neo-opt %s --irdl-file=%S/Inputs/shop.irdl --split-input-file --verify-diagnostics
// RUN: not neo-opt %s --split-input-file 2>&1 | FileCheck %s

// CHECK: irdl_file.mlir:[[#@LINE+2]]:{{[0-9]+}}: error: {{.*}}unregistered dialect
func.func @f(%a: i32) {
  "shop.buy"(%a) : (i32) -> ()
  return
}

// -----
func.func @f(%a: i64) {
  // expected-error@below {{expected 'i32' but got 'i64'}}
  "shop.buy"(%a) : (i64) -> ()
  return
}
