// RUN: neo-opt %s --split-input-file --verify-diagnostics

func.func @no_operands() {
  // expected-error@below {{needs three operands, the runtime's !llvm.ptr first}}
  "neo.dispatch"() {kernel = @k} : () -> ()
  return
}

// -----
func.func @runtime(%i: index, %t: tuple<index>) {
  // expected-error@below {{needs three operands, the runtime's !llvm.ptr first}}
  "neo.dispatch"(%i, %i, %t) {kernel = @k} : (index, index, tuple<index>) -> ()
  return
}

// -----
func.func @items(%p: !llvm.ptr, %i: i64, %t: tuple<index>) {
  // expected-error@below {{needs the number of work items, an index, as its second operand}}
  "neo.dispatch"(%p, %i, %t) {kernel = @k} : (!llvm.ptr, i64, tuple<index>) -> ()
  return
}

// -----
func.func @arguments(%p: !llvm.ptr, %i: index) {
  // expected-error@below {{needs the kernel's arguments, a tuple, as its third operand}}
  "neo.dispatch"(%p, %i, %i) {kernel = @k} : (!llvm.ptr, index, index) -> ()
  return
}

// -----
func.func @kernel(%p: !llvm.ptr, %i: index, %t: tuple<index>) {
  // expected-error@below {{needs the kernel's name as attribute 'kernel'}}
  "neo.dispatch"(%p, %i, %t) {kernel = "k"} : (!llvm.ptr, index, tuple<index>) -> ()
  return
}

// -----
func.func @results(%p: !llvm.ptr, %i: index, %t: tuple<index>) {
  // expected-error@below {{has no results}}
  %0 = "neo.dispatch"(%p, %i, %t) {kernel = @k} : (!llvm.ptr, index, tuple<index>) -> i32
  return
}
