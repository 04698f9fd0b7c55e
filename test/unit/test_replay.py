"""The dump of a compile replays: `neo-opt` with each printed pipeline on each level gives the next, byte for byte."""

import itertools
import subprocess
import sys
from pathlib import Path

import neomlir
import pytest
from neomlir.staircase import LEVELS


def model():
    """A convolution with its scale, a pooled copy, a softmax: something of each kind of kernel, as ONNX bytes."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(7)

    def weight(name, *shape):
        return numpy_helper.from_array(rng.standard_normal(shape).astype(np.float32) * 0.2, name)

    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Mul", ["c", "s"], ["m"]),
        helper.make_node("Relu", ["m"], ["r"]),
        helper.make_node("MaxPool", ["r"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Gemm", ["f", "v", "b"], ["g"]),
        helper.make_node("Softmax", ["g"], ["y"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 10])],
        [weight("w", 8, 3, 3, 3), weight("s", 1, 8, 1, 1), weight("v", 128, 10), weight("b", 10)],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    made.ir_version = 9
    return made.SerializeToString()


@pytest.mark.parametrize("pipeline", ["cpu", "cpu-affine", "cpu-scalar"])
def test_every_level_replays(pipeline, tmp_path):
    neomlir.compile(model(), target="x86-64-v3", pipeline=pipeline, dump=tmp_path)
    files = [tmp_path / f"{i:02}-{level}.mlir" for i, level in enumerate(LEVELS)]
    assert sorted(tmp_path.glob("*.mlir")) == files
    tool = Path(sys.executable).parent / "neo-opt"
    for before, after in itertools.pairwise(files):
        passes = before.with_suffix(".pipeline").read_text().strip()
        done = subprocess.run([tool, f"--pass-pipeline={passes}", before], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout == after.read_text(), f"{before.name} does not lead to {after.name}"


def test_kernels_compiled_apart_are_those_of_the_dump(tmp_path):
    """Kernels go down in processes of their own; the dump takes the whole module down: both must be the same code."""
    from neomlir.dialects import context
    from neomlir.kernel_job import compile_kernel
    from neomlir.mlir import ir
    from neomlir.passes.functions import functions, kernel_modules, name_of
    from neomlir.pipeline import pipeline_module
    from neomlir.staircase import split_stage
    from neomlir.targets import Target

    neomlir.compile(model(), target="x86-64-v3", dump=tmp_path)
    stages = pipeline_module("cpu").stages(Target.named("x86-64-v3"))
    apart = {level: split_stage(stages[level])[0] for level in ("vector", "memref", "llvm")}
    with context():
        start = ir.Module.parse((tmp_path / "03-kernels.mlir").read_text())
        end = ir.Module.parse((tmp_path / "06-llvm.mlir").read_text())
        whole = {
            name_of(op.operation): str(nested)
            for nested in kernel_modules(end.operation)
            for op in nested.regions[0].blocks[0].operations
            if "sym_name" in op.operation.attributes
        }
        texts = {name_of(functions(m)[0]): str(m) for m in kernel_modules(start.operation)}
    assert texts
    for name, text in texts.items():
        alone = compile_kernel(text, apart, {}, keep_levels=True).levels["llvm"]
        with context():
            assert str(ir.Module.parse(alone)) == str(ir.Module.parse(whole[name])), name


def test_the_same_bytes_with_and_without_the_cache_and_elsewhere(tmp_path, monkeypatch):
    first, second, third = (tmp_path / f"{n}.neo" for n in "abc")
    (tmp_path / "other").mkdir()
    monkeypatch.setenv("NEO_CACHE_DIR", str(tmp_path / "cache"))
    neomlir.compile(model(), target="x86-64-v3", output=first)
    monkeypatch.chdir(tmp_path / "other")
    neomlir.compile(model(), target="x86-64-v3", output=second)
    neomlir.compile(model(), target="x86-64-v3", output=third, cache=False, jobs=1)
    assert first.read_bytes() == second.read_bytes() == third.read_bytes()
