"""Products of one row with weights in fp32, int8 and int4 on Neo, beside ONNX Runtime's MatMul and MatMulNBits.

    python benchmarks/weight_only.py [KxN …] [--group N] [--runs N] [--models] [--json FILE]

A decoder multiplies one row by each weight for every token. Each size is a model of a few such products, one behind the
other, so that their weights do not stay in a cache; one core, interleaved, medians. With --models, what int8 and int4
make of decoders of test/e2e as well: relative error and agreement of the largest logit against the framework.
"""

import argparse
import json
import platform
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "test" / "e2e"))

DEFAULT = ("2048x2048", "4096x4096", "2048x8192")
BYTES = 1 << 28
"""Of the weights of a model in fp32, at least: more than caches hold."""
MODELS = ("gpt2_small", "llama_small")


def packed(weight: np.ndarray, block: int) -> tuple[np.ndarray, np.ndarray]:
    """A weight [K, N] in 4 bits as MatMulNBits has it: bytes [N, K / block, block / 2], and scales."""
    blocks = weight.T.reshape(weight.shape[1], -1, block)
    largest = np.take_along_axis(blocks, np.abs(blocks).argmax(-1)[..., None], -1)
    scales = largest / -8
    q = np.clip(np.round(blocks / scales) + 8, 0, 15).astype(np.uint8)
    return q[..., ::2] | q[..., 1::2] << 4, scales.reshape(-1).astype(np.float32)


def chain(depth: int, columns: int, count: int, block: int):
    """`count` pairs of products, K to N and back, in fp32 and by MatMulNBits of the same weights: two ONNX models."""
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.default_rng(0)
    plain, four, arrays, bits = [], [], [], []
    last = "x"
    for _ in range(count):
        for k, n in ((depth, columns), (columns, depth)):
            name = str(len(plain))
            weight = (random.standard_normal((k, n), dtype=np.float32) / k**0.5).astype(np.float32)
            data, scales = packed(weight, block)
            arrays.append(numpy_helper.from_array(weight, f"w{name}"))
            bits += [numpy_helper.from_array(data, f"w{name}"), numpy_helper.from_array(scales, f"s{name}")]
            plain.append(helper.make_node("MatMul", [last, f"w{name}"], [f"y{name}"]))
            settings = {"domain": "com.microsoft", "K": k, "N": n, "bits": 4, "block_size": block}
            four.append(helper.make_node("MatMulNBits", [last, f"w{name}", f"s{name}"], [f"y{name}"], **settings))
            last = f"y{name}"
    models = []
    for nodes, tensors in ((plain, arrays), (four, bits)):
        ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, depth]) for name in ("x", last)]
        graph = helper.make_graph(nodes, "chain", ends[:1], ends[1:], tensors)
        opsets = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
        models.append(helper.make_model(graph, opset_imports=opsets, ir_version=9))
    return models


def measure(size: str, group: int, runs: int) -> dict:
    """Times of one size, and how far each result is from the fp32 one."""
    import neomlir
    import onnxruntime
    from neomlir import timing

    depth, columns = map(int, size.split("x"))
    count = max(1, BYTES // (8 * depth * columns))
    plain, four = chain(depth, columns, count, group)
    x = np.random.default_rng(1).standard_normal((1, depth), dtype=np.float32)
    compiled, calls, sizes = {}, {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for weights in ("fp32", "int8", f"int4:{group}"):
            place = Path(folder) / "model.neo"
            neomlir.compile(plain, weights=weights, output=place)
            sizes[f"neo {weights}"] = place.stat().st_size
            compiled[f"neo {weights}"] = neomlir.load(place, threads=1)
        timing.pin(1)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        for name, model in (("onnxruntime fp32", plain), ("onnxruntime int4", four)):
            path = Path(folder) / "model.onnx"
            path.write_bytes(model.SerializeToString())
            sizes[name] = path.stat().st_size
            compiled[name] = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        for name, model in compiled.items():
            if name.startswith("neo"):
                calls[name] = lambda model=model: next(iter(model.run({"x": x}).values()))
            else:
                calls[name] = lambda model=model: model.run(None, {"x": x})[0]
        wanted = calls["neo fp32"]().copy()
        errors = {name: float(np.linalg.norm(call() - wanted) / np.linalg.norm(wanted)) for name, call in calls.items()}
        times = timing.interleave(calls, runs)
    each = 2 * count
    return {
        "size": size,
        "products": each,
        "microseconds": {name: t.median * 1e6 / each for name, t in times.items()},
        "file_bytes": sizes,
        "errors": errors,
    }


def accuracy(name: str) -> list[dict]:
    """What integers make of a decoder of test/e2e."""
    import neomlir
    from models import MODELS as KNOWN

    module, example = KNOWN[name].build()
    rows = []
    for weights in ("fp32", "int8", "int4"):
        compiled = neomlir.compile(module, inputs=example, weights=weights)
        found = neomlir.check(module, compiled)[0]
        size = compiled.report["weight_bytes"]
        rows.append(
            {"model": name, "weights": weights, "bytes": size, "error": found.error, "same_argmax": found.argmax}
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sizes", nargs="*", default=DEFAULT, metavar="KxN", help=f"default: {' '.join(DEFAULT)}")
    parser.add_argument("--group", type=int, default=32, help="weights to a scale in int4 (default: 32)")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--models", action="store_true", help="accuracy of decoders as well")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers to this file")
    arguments = parser.parse_args()
    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else 140)
    models = [row for name in MODELS for row in accuracy(name)] if arguments.models else []
    sizes = [measure(size, arguments.group, arguments.runs) for size in arguments.sizes]
    names = list(sizes[0]["microseconds"]) if sizes else []
    table = Table("one row times", *(f"{name}, µs" for name in names), "int4 / fp32", "int4 / ORT's")
    four = f"neo int4:{arguments.group}"
    for row in sizes:
        times = row["microseconds"]
        table.add_row(
            row["size"],
            *(f"{times[name]:.0f} ({row['errors'][name]:.0e})" for name in names),
            f"{times[four] / times['neo fp32']:.2f}",
            f"{times[four] / times['onnxruntime int4']:.2f}",
        )
    console.print(table)
    if models:
        table = Table("model", "weights", "bytes", "relative error", "same argmax")
        for row in models:
            table.add_row(*(f"{v:.2e}" if k == "error" else str(v) for k, v in row.items()))
        console.print(table)
    if arguments.json:
        document = {"machine": platform.processor() or platform.machine(), "runs": arguments.runs}
        arguments.json.write_text(json.dumps({**document, "sizes": sizes, "models": models}, indent=2) + "\n")


if __name__ == "__main__":
    main()
