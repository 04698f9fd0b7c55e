"""Kernels as text, and a way to run one both as its schedule writes it and by plain loops."""

from __future__ import annotations

import ctypes
import mmap
import os
import random
import re
import signal

import numpy as np
from execute import call
from neomlir.mlir import context, execution_engine, ir, passmanager
from neomlir.passes.schedule import schedule_function, schedule_space
from neomlir.schedules.base import ladder
from neomlir.schedules.kernel import set_parameters

_LOWERING = (
    "builtin.module(one-shot-bufferize{bufferize-function-boundaries=1 "
    "function-boundary-type-conversion=identity-layout-map},canonicalize,cse,func.func(scf-forall-to-for),"
    "expand-strided-metadata,lower-affine,convert-vector-to-scf{full-unroll=1},lower-affine,convert-scf-to-cf,"
    "convert-vector-to-llvm{reassociate-fp-reductions=1},convert-math-to-llvm,convert-math-to-libm,"
    "convert-to-llvm,reconcile-unrealized-casts)"
)
_TYPES = {"f": "f", "i": "i", "b": "i1"}


def tensor(shape, element="f32", dynamic=()) -> str:
    """A tensor type; the dimensions in `dynamic` (True for all) are dynamic."""
    dims = ["?" if dynamic is True or (dynamic and d in dynamic) else str(n) for d, n in enumerate(shape)]
    return "tensor<" + "".join(n + "x" for n in dims) + element + ">"


def generic(name, maps, loops, ins, out, body, result=None) -> str:
    """`%name = linalg.generic`; `maps` are comma-separated results a map, `loops` a letter a loop (p or r).

    `ins` and `out` are (value, type); loops are called d0, d1 …; the body sees %x0, %x1 … and the output as %o, and
    leaves its value in %y.
    """
    dims = ", ".join(f"d{i}" for i in range(len(loops)))
    affine = ", ".join(f"affine_map<({dims}) -> ({m})>" for m in maps)
    kinds = ", ".join('"parallel"' if c == "p" else '"reduction"' for c in loops)
    elements = [re.search(r"(\w+)>$", t)[1].split("x")[-1] for _, t in [*ins, out]]
    arguments = [f"%x{i}: {e}" for i, e in enumerate(elements[:-1])] + [f"%o: {elements[-1]}"]
    values, types = ", ".join(v for v, _ in ins), ", ".join(t for _, t in ins)
    inputs = f"ins({values} : {types}) " if ins else ""
    return (
        f"%{name} = linalg.generic {{indexing_maps = [{affine}], iterator_types = [{kinds}]}} {inputs}"
        f"outs({out[0]} : {out[1]}) {{\n^bb0({', '.join(arguments)}):\n{body}\nlinalg.yield %y : {elements[-1]}\n"
        f"}} -> {result or out[1]}\n"
    )


def filled(name, value, type_, into=None, extents="") -> str:
    """`%name` is a tensor of `value`, in `into` or in a new `tensor.empty`."""
    element = re.search(r"(\w+)>$", type_)[1].split("x")[-1]
    text = f"%{name}_v = arith.constant {value} : {element}\n"
    if into is None:
        text += f"%{name}_e = tensor.empty({extents}) : {type_}\n"
        into = f"%{name}_e"
    return text + f"%{name} = linalg.fill ins(%{name}_v : {element}) outs({into} : {type_}) -> {type_}\n"


def kernel(arguments, results, body) -> str:
    """The function @k: `arguments` and `results` are types; %a0 … come in, %out0 … are destinations, %r0 … go back."""
    given = [f"%a{i}: {t}" for i, t in enumerate(arguments)] + [f"%out{i}: {t}" for i, t in enumerate(results)]
    back = ", ".join(f"%r{i}" for i in range(len(results)))
    types = ", ".join(results)
    return f"func.func @k({', '.join(given)}) -> ({types}) {{\n{body}\nreturn {back} : {types}\n}}"


def scheduled(text: str, target, schedules=None, told: random.Random | None = None) -> tuple[str, str]:
    """The kernel's schedule and its module, verified, as text; `told` draws its parameters from their space."""
    with context():
        module = ir.Module.parse(text)
        function = next(o.operation for o in module.body.operations)
        if told is not None:
            space = schedule_space(function, target)
            set_parameters(function, {n: told.choice(values) for n, values in space.items() if n != "schedule"})
        name = schedule_function(function, list(schedules or ladder()), target, "affine")
        assert module.operation.verify()
        return name, str(module)


def run(text: str, inputs, outputs) -> None:
    """Run @k of a module of the level `vector` on arrays; `outputs` are written.

    It runs in a child process on copies that end at a page that must not be touched, so a read or a write behind an
    array kills the child; one before an array, and any write to an input, is seen afterwards.
    """
    with context(), ir.Location.unknown():
        module = ir.Module.parse(text)
        function = next(o.operation for o in module.body.operations)
        function.attributes["llvm.emit_c_interface"] = ir.UnitAttr.get()
        passmanager.PassManager.parse(_LOWERING).run(module.operation)
        engine = execution_engine.ExecutionEngine(module, opt_level=2)
        guards = [Guard(a) for a in [*inputs, *outputs]]
        descriptors = [_descriptor(g.array) for g in guards]
        returned = ctypes.create_string_buffer(4096)
        pointers = [ctypes.c_void_p(ctypes.addressof(d)) for d in [returned, *descriptors]]
        engine.lookup("k")
        child = os.fork()
        if not child:
            engine.invoke("k", *(ctypes.pointer(p) for p in pointers))
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert status == 0, f"the kernel leaves its arguments: {signal.Signals(-status).name}\n{text[:20000]}"
        for i, guard in enumerate(guards):
            assert guard.whole(), f"the kernel writes before argument {i}\n{text[:20000]}"
        for array, guard in zip(inputs, guards, strict=False):
            assert array.tobytes() == guard.array.tobytes(), f"the kernel writes to an input\n{text[:20000]}"
        for array, guard in zip(outputs, guards[len(inputs) :], strict=True):
            array[...] = guard.array


class Guard:
    """A copy of an array in memory shared with children: canaries before it, a page behind it that faults."""

    def __init__(self, array: np.ndarray):
        page = mmap.PAGESIZE
        self.pages = -(-max(1, array.nbytes) // page) + 1
        self.memory = mmap.mmap(-1, (self.pages + 1) * page)
        self.memory.write(b"\xab" * (self.pages * page))
        self.start = self.pages * page - array.nbytes
        address = ctypes.addressof(ctypes.c_char.from_buffer(self.memory))
        libc = ctypes.CDLL(None, use_errno=True)
        failed = libc.mprotect(ctypes.c_void_p(address + self.pages * page), ctypes.c_size_t(page), 0)
        assert not failed, os.strerror(ctypes.get_errno())
        self.array = np.frombuffer(self.memory, array.dtype, array.size, self.start).reshape(array.shape)
        self.array[...] = array

    def whole(self) -> bool:
        """Whether the canaries are as they were."""
        return self.memory[: self.start] == b"\xab" * self.start


def check(text: str, inputs, outputs, target, expect=None, tolerance=1e-5) -> str:
    """Compare a kernel's schedule with plain loops on `inputs`; `outputs` give shape and type of the results.

    Half of the kernels, by their text, are told parameters out of the schedule's space.
    """
    r = random.Random(text)
    name, vector = scheduled(text, target, told=r if r.random() < 0.5 else None)
    if expect is not None:
        assert name == expect, vector
    if name == "affine":
        return name
    poisoned = [np.full_like(o, 1 if o.dtype == bool else 77) for o in outputs]
    run(vector, inputs, poisoned)
    with context():
        wanted = call(ir.Module.parse(text), "k", [*inputs, *(np.zeros_like(o) for o in outputs)], {})
    for found, right in zip(poisoned, wanted, strict=True):
        if found.dtype.kind == "f":
            scale = max(1.0, float(np.abs(right).max(initial=0)))
            np.testing.assert_allclose(found, right, rtol=tolerance, atol=tolerance * scale, err_msg=vector[:20000])
        else:
            np.testing.assert_array_equal(found, right, err_msg=vector[:20000])
    return name


def _descriptor(array: np.ndarray) -> ctypes.Structure:
    rank = array.ndim

    class Descriptor(ctypes.Structure):
        _fields_ = (
            ("allocated", ctypes.c_void_p),
            ("aligned", ctypes.c_void_p),
            ("offset", ctypes.c_int64),
            ("shape", ctypes.c_int64 * max(1, rank)),
            ("strides", ctypes.c_int64 * max(1, rank)),
        )

    assert array.flags.c_contiguous
    strides = [s // array.itemsize for s in array.strides]
    return Descriptor(array.ctypes.data, array.ctypes.data, 0, (*array.shape,), (*strides,))
