// RUN: neo-opt --neo-limit-schedules="kernels=a:affine;c:scalar" %s | FileCheck %s

// CHECK: module attributes {neo.kernel, neo.rung = "affine"}
// CHECK: module attributes {neo.kernel}
// CHECK: module attributes {neo.kernel, neo.rung = "scalar"}
module attributes {neo.kernel} {
  func.func private @a()
}
module attributes {neo.kernel} {
  func.func private @b()
}
module attributes {neo.kernel} {
  func.func private @c()
}
