// RUN: neo-opt --neo-set-parameters="kernels=a:rows=4,schedule=window;gone:rows=2" %s | FileCheck %s
// RUN: not neo-opt --neo-set-parameters="kernels=a:rows" %s 2>&1 | FileCheck %s --check-prefix=BAD

// The function carries what its schedule shall take; a kernel that is not there is passed over.
// CHECK: func.func private @a() attributes {neo.parameters = {rows = 4 : i64, schedule = "window"}}
// CHECK: func.func private @b()
// CHECK-NOT: neo.parameters
// BAD: 'a:rows' is not KERNEL:NAME=VALUE
module attributes {neo.kernel} {
  func.func private @a()
}
module attributes {neo.kernel} {
  func.func private @b()
}
