"""Elementary functions in vector registers: their error on samples of all f32, and that none is left to libm."""

from __future__ import annotations

import re

import math_accuracy
import numpy as np
import pytest
from neomlir import targets
from neomlir.mlir import context, ir
from neomlir.passes.expand_math import FUNCTIONS
from neomlir.pipeline import Pipeline
from neomlir.pipelines.cpu import stages
from neomlir.staircase import split_stage


@pytest.mark.parametrize("target", ["x86-64-v2", "x86-64-v4"])
def test_errors_stay_small(target):
    """Without and with fused multiply-add, special values among the samples."""
    if not targets.get(target).runs_here():
        pytest.skip(f"this machine does not run {target}")
    library = math_accuracy.build(target)
    for index, case in enumerate(math_accuracy.CASES):
        error, where = math_accuracy.measure(library, index, 400_009)
        assert error <= case.limit, (case.name, where)
    # Rounding errors of P and Q of erf would be largest here.
    x = np.linspace(1, 3.93, 20_000, dtype=np.float32)
    erf = next(case for case in math_accuracy.CASES if case.name == "erf")
    got = library(f"f{math_accuracy.CASES.index(erf)}", x)
    assert math_accuracy.error(got, erf.reference(x.astype(np.float64))).max() <= erf.limit
    assert got.max() == 1


def test_pipeline_leaves_no_call_of_libm():
    """A kernel of f32 vectors goes down to `llvm` without a function of the C library."""
    bodies = "\n".join(
        f"    %r{i} = {name} %v : vector<16xf32>" for i, name in enumerate(["math.exp", "math.erf", "math.tanh"])
    )
    text = f"""module {{ module attributes {{neo.kernel}} {{
      func.func @k(%a: memref<16xf32>, %b: memref<16xf32>, %lo: index, %hi: index)
          attributes {{neo.grid = 1 : i64, neo.signature = (memref<16xf32>, memref<16xf32>, index, index) -> ()}} {{
        %i = arith.constant 0 : index
        %v = vector.load %a[%i] : memref<16xf32>, vector<16xf32>
    {bodies}
        %s = arith.addf %r0, %r1 : vector<16xf32>
        %t = arith.addf %s, %r2 : vector<16xf32>
        vector.store %t, %b[%i] : memref<16xf32>, vector<16xf32>
        return
      }} }} }}"""
    with context():
        module = ir.Module.parse(text)
        kernel_passes, _host = split_stage(stages(targets.get("x86-64-v4"))["llvm"])
        Pipeline(f"builtin.module(builtin.module({kernel_passes}))").run(module)
        assert not re.findall(r"@(\w*(?:exp|erf|tanh)\w*)", str(module))


def test_every_function_is_measured():
    """What the pass expands is what the table of errors covers."""
    measured = {re.sub(r"_.*", "", case.name) for case in math_accuracy.CASES} | {"sincos", "fpowi", "pow"}
    assert {name.removeprefix("math.") for name in FUNCTIONS} <= measured | {case.name for case in math_accuracy.CASES}
