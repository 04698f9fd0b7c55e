// RUN: neo-opt %s --allow-unregistered-dialect --no-implicit-module --verify-roundtrip | FileCheck %s
// RUN: not neo-opt %s 2>&1 | FileCheck %s --check-prefix=UNKNOWN

// UNKNOWN: parsing.mlir:[[#@LINE+6]]:{{[0-9]+}}: error: {{.*}}unregistered dialect
// UNKNOWN-NEXT: {{^}}  "unknown.op"() : () -> (){{$}}
// UNKNOWN-NEXT: {{^}}  ^{{$}}
// CHECK: "unknown.op"() : () -> ()
// CHECK-NOT: module
module {
  "unknown.op"() : () -> ()
}
