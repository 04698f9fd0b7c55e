"""Scatters, running sums and sorts on Neo beside ONNX Runtime, OpenVINO and PyTorch: interleaved, medians.

    python benchmarks/indexed.py [CASE …] [--threads N] [--runs N] [--against PEERS] [--seed N] [--json FILE]

A peer that does not take a case, or whose file format cannot say it, has no time.
"""

import dataclasses
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import side_by_side
import torch

PEERS = "onnxruntime,openvino,torch"


class Case(NamedTuple):
    """What is computed, and of what: shapes of normally distributed numbers, or (below, shape) of indices."""

    function: Callable
    inputs: tuple


def added(rows: torch.Tensor, index: torch.Tensor, count: int) -> torch.Tensor:
    """Rows added where an index of each says, as graph networks have it."""
    zeros = torch.zeros(count, rows.shape[1])
    return zeros.scatter_add(0, index[:, None].expand_as(rows), rows)


CASES = {
    "messages": Case(
        lambda x, source, target: added(x[source], target, 2708), ((2708, 64), (2708, (10556,)), (2708, (10556,)))
    ),
    "scatter-rows": Case(lambda u, i: added(u, i, 2708), ((10556, 64), (2708, (10556,)))),
    "scatter-elements": Case(lambda u, i: torch.zeros(2708, 64).scatter_add(0, i, u), ((1319, 64), (2708, (1319, 64)))),
    "scatter-largest": Case(
        lambda u, i: torch.zeros(2708, 64).scatter_reduce(0, i, u, "amax"), ((1319, 64), (2708, (1319, 64)))
    ),
    "write-rows": Case(lambda x, i, u: x.index_put((i,), u), ((2708, 64), (2708, (1000,)), (1000, 64))),
    "sums-along-rows": Case(lambda x: x.cumsum(1), ((128, 4096),)),
    "sums-down-columns": Case(lambda x: x.cumsum(0), ((1000, 256),)),
    "sort-4096": Case(lambda x: x.sort(), ((1, 4096),)),
    "sort-16x1024": Case(lambda x: x.sort(), ((16, 1024),)),
    "first-5-of-1000": Case(lambda x: x.topk(5), ((1, 1000),)),
    "first-300-of-8400": Case(lambda x: x.topk(300), ((1, 8400),)),
    "first-50-of-50257": Case(lambda x: x.topk(50), ((1, 50257),)),
    "first-2-of-8": Case(lambda x: x.topk(2), ((4096, 8),)),
}


class Module(torch.nn.Module):
    def __init__(self, function: Callable):
        super().__init__()
        self.function = function

    def forward(self, *inputs: torch.Tensor):
        return self.function(*inputs)


def measure_one(name: str, threads: int, runs: int, wanted: list[str], seed: int) -> dict:
    """Compile and time one case in this process, which stays pinned."""
    import neomlir
    from neomlir import timing
    from neomlir.tools.neo_bench import measure

    torch.manual_seed(seed)
    case = CASES[name]
    example = tuple(
        torch.randint(0, shape[0], shape[1]) if isinstance(shape[1], tuple) else torch.randn(shape)
        for shape in case.inputs
    )
    module = Module(case.function).eval()
    began = time.perf_counter()
    compiled = neomlir.compile(module, inputs=example)
    compile_seconds = time.perf_counter() - began
    with tempfile.TemporaryDirectory() as folder:
        compiled.save(Path(folder) / "case.neo")
        timing.pin(threads)
        model = neomlir.load(Path(folder) / "case.neo", threads=threads)
    inputs = {spec.name: x.numpy() for spec, x in zip(model.inputs, example, strict=True)}
    result = measure(model, module, inputs, wanted, threads, runs)
    return {
        "model": name,
        "compile_seconds": compile_seconds,
        "times": {peer: dataclasses.asdict(each) for peer, each in result.times.items()},
        "differences": result.errors,
        "missing": result.missing,
    }


def row(result: dict, peers: list[str]) -> list[str]:
    """A line of the table: Neo's median in µs, then each peer's with the ratio of Neo to it."""
    if "failed" in result:
        return [result["model"], result["failed"]]
    times = {name: each["median"] * 1e6 for name, each in result["times"].items()}
    cells = [f"{times[p]:.0f} µs ({times['neo'] / times[p]:.2f})" if p in times else "" for p in peers]
    difference = max(result["differences"].values(), default=0.0)
    return [
        result["model"],
        f"{times['neo']:.0f} µs",
        *cells,
        f"{difference:.1e}",
        f"{result['compile_seconds']:.1f} s",
    ]


def main() -> None:
    parser = side_by_side.parser(__doc__.splitlines()[0], tuple(CASES), PEERS)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.one:
        peers = [name for name in arguments.against.split(",") if name]
        print(json.dumps(measure_one(arguments.models[0], arguments.threads, arguments.runs, peers, arguments.seed)))
        return
    side_by_side.measure_all(__file__, arguments, "seed", ["difference"], row)


if __name__ == "__main__":
    main()
