// RUN: neo-opt %s --allow-unregistered-dialect --no-implicit-module --verify-roundtrip | FileCheck %s
// RUN: not neo-opt %s 2>&1 | FileCheck %s --check-prefix=UNKNOWN
// RUN: echo 'func.func @f() { return }' > %t && not neo-opt %t --no-implicit-module 2>&1 | FileCheck %s --check-prefix=IMPLICIT

// UNKNOWN: parsing.mlir:[[#@LINE+4]]:{{[0-9]+}}: error: {{.*}}unregistered dialect
// IMPLICIT: error: --no-implicit-module: the first operation is func.func
// CHECK: "unknown.op"() : () -> ()
module {
  "unknown.op"() : () -> ()
}
