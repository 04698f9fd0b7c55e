"""Layers on Neo as shares of what this machine can do, beside oneDNN and ONNX Runtime: fp32, one core, interleaved.

    python benchmarks/roofline.py [GROUP …] [--only TEXT] [--threads N] [--seconds S] [--json FILE]

Groups: gemm, resnet50, mobilenet_v2. A share is the least time of the layer (Machine.shortest: its arithmetic at the
measured peak, or its bytes at the rate of a copy as large) over its best time; a ratio is of medians.

Each call follows some of the same contestant that are not timed, as the copies follow each other that give the roof.

Neo's time is that of its kernels inside a run, padding included, on inputs whose channels are innermost, as they are
within a network; oneDNN (by PyTorch) gets and gives its own blocked layout; ONNX Runtime's is that of a whole call, and
Neo's whole call stands beside it.
"""

import argparse
import json
import math
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path

import layers
import neomlir
import numpy as np
import torch
import torch.utils.mkldnn
from neomlir import artifact, peers, timing
from neomlir.machine import Meter, best
from neomlir.targets import Target

GROUPS = {
    "gemm": layers.products,
    "resnet50": lambda: layers.convolutions("resnet50"),
    "mobilenet_v2": lambda: layers.convolutions("mobilenet_v2"),
}


SETTLED = 1e-3
"""Seconds of calls behind which what a layer reads and writes is where it stays, or else three calls: a cache that
holds what another one gave up has it all after some passes only.
"""
STEADY = 0.015
"""How much the peak may change from before a call to behind it for the call to be compared with it."""


class Contestants:
    """The calls of one layer; each gives seconds."""

    def __init__(self, layer: layers.Layer, program: Path, threads: int):
        is_conv = isinstance(layer.module, torch.nn.Conv2d)
        self.model = neomlir.load(program, threads=threads)
        x = layer.example.permute(0, 2, 3, 1).contiguous() if is_conv else layer.example
        self.inputs = {self.model.inputs[0].name: x.numpy()}
        self.onednn = torch.utils.mkldnn.to_mkldnn(layer.module)
        self.blocked = layer.example.to_mkldnn()
        plain = {"x": layer.example.numpy()}
        ort = peers.make("onnxruntime", layer.module, plain, threads)
        self.calls = {
            "neo": self._neo,
            "neo_call": lambda: _timed(lambda: self.model.run(self.inputs)),
            "onednn": self._onednn,
            "onnxruntime": lambda: _timed(lambda: ort(plain)),
        }
        with torch.inference_mode():
            expected = layer.module(layer.example)
            expected = expected.permute(0, 2, 3, 1) if is_conv else expected
        found = torch.from_numpy(self.model(*self.inputs.values()))
        self.error = float((found - expected).norm() / expected.norm())

    def _neo(self) -> float:
        events = self.model.trace(self.inputs)[1]
        return float((events[:, 1] - events[:, 0]).sum()) * 1e-9

    def _onednn(self) -> float:
        with torch.inference_mode():
            return _timed(lambda: self.onednn(self.blocked))


def settle(call) -> None:
    """Calls after which others leave no trace in the caches."""
    begin = time.perf_counter()
    for _ in range(3):
        call()
        if time.perf_counter() - begin > SETTLED:
            return


def _timed(call) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def measure(layer: layers.Layer, program: Path, meter: Meter, seconds: float) -> dict:
    """Times of all contestants in turn for about `seconds`, and the roofs before and behind them."""
    contestants = Contestants(layer, program, meter.threads)
    machines = [meter.measure(bursts=2)]
    begin = time.perf_counter()
    for _ in range(2):
        for call in contestants.calls.values():
            call()
    runs = int(np.clip(seconds / max(1e-6, time.perf_counter() - begin), 5, 1000))
    times = {name: [] for name in contestants.calls}
    beside = []
    for _ in range(runs):
        for name, call in contestants.calls.items():
            settle(call)
            before = meter.pace()
            times[name].append(call())
            after = meter.pace()
            if name == "neo" and abs(before - after) < STEADY * before:
                beside.append(layer.flops / times[name][-1] / (before + after) * 2)
    machines.append(meter.measure(bursts=2))
    machine = best(machines)
    floor = machine.shortest(layer.flops, layer.bytes)
    return {
        "group": layer.group,
        "name": layer.name,
        "count": layer.count,
        "algorithm": algorithm(program),
        "flops": layer.flops,
        "bytes": layer.bytes,
        "runs": runs,
        "error": contestants.error,
        "peak": machine.flops,
        "floor": floor,
        "best": {name: min(values) for name, values in times.items()},
        "median": {name: statistics.median(values) for name, values in times.items()},
        "share": {name: floor / min(values) for name, values in times.items()},
        "beside": statistics.median(beside) if beside else None,
        "of_peak": {name: layer.flops / min(values) / machine.flops for name, values in times.items()},
    }


def compiled(layer: layers.Layer, place: Path) -> Path:
    """The layer's program, made on every core."""
    is_conv = isinstance(layer.module, torch.nn.Conv2d)
    module = layers.Last(layer.module) if is_conv else layer.module
    example = layer.example.permute(0, 2, 3, 1).contiguous() if is_conv else layer.example
    neomlir.compile(module, inputs=(example,), output=place)
    return place


def algorithm(program: Path) -> str:
    """What does the layer's arithmetic: a schedule's name, or F(m, 3) where that is Winograd's."""
    kernels = [kernel for kernel in artifact.read(program).manifest["kernels"] if "main" in kernel["in"]]
    main = max(kernels, key=lambda kernel: kernel["flops"] or 0)
    return f"F({main['parameters']['tile']}, 3)" if main["schedule"] == "winograd" else main["schedule"]


def row(result: dict) -> list[str]:
    rate = result["flops"] / result["best"]["neo"] / 1e9
    median = result["median"]
    return [
        result["name"],
        result["algorithm"],
        f"{result['best']['neo'] * 1e3:.3f}",
        f"{rate:.0f}",
        f"{result['of_peak']['neo']:.0%}",
        "-" if result["beside"] is None else f"{result['beside']:.0%}",
        f"{result['share']['neo']:.0%}",
        f"{result['share']['onednn']:.0%}",
        f"{result['share']['onnxruntime']:.0%}",
        f"{median['neo'] / median['onednn']:.2f}",
        f"{median['neo_call'] / median['onnxruntime']:.2f}",
        f"{result['error']:.0e}",
    ]


def mean(values: list[float]) -> float:
    return math.exp(statistics.fmean(math.log(value) for value in values))


def summary(results: list[dict]) -> list[str]:
    """Geometric means of a group."""
    share = {name: mean([r["share"][name] for r in results]) for name in results[0]["share"]}
    of_peak = mean([r["of_peak"]["neo"] for r in results])
    onednn = mean([r["median"]["neo"] / r["median"]["onednn"] for r in results])
    call = mean([r["median"]["neo_call"] / r["median"]["onnxruntime"] for r in results])
    shares = [f"{share[name]:.0%}" for name in ("neo", "onednn", "onnxruntime")]
    beside = [r["beside"] for r in results if r["beside"] is not None]
    return [
        "geometric mean",
        "",
        "",
        "",
        f"{of_peak:.0%}",
        f"{mean(beside):.0%}" if beside else "-",
        *shares,
        f"{onednn:.2f}",
        f"{call:.2f}",
        "",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("groups", nargs="*", default=list(GROUPS), metavar="GROUP", help=f"default: {' '.join(GROUPS)}")
    parser.add_argument("--only", default="", metavar="TEXT", help="layers whose name holds TEXT")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=1.0, help="of measurement a layer (default: 1)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers to this file")
    arguments = parser.parse_args()
    if unknown := set(arguments.groups) - set(GROUPS):
        parser.error(f"there is no group {', '.join(sorted(unknown))}; there are {', '.join(GROUPS)}")
    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else 140)
    chosen = [layer for group in arguments.groups for layer in GROUPS[group]() if arguments.only in layer.name]
    results = []
    with tempfile.TemporaryDirectory() as folder:
        programs = [compiled(layer, Path(folder) / f"{i}.neo") for i, layer in enumerate(chosen)]
        timing.pin(arguments.threads)
        torch.set_num_threads(arguments.threads)
        meter = Meter(Target.host(), arguments.threads)
        for layer, program in zip(chosen, programs, strict=True):
            results.append(measure(layer, program, meter, arguments.seconds))
            print(".", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    heads = (
        "by",
        "best ms",
        "GFLOP/s",
        "of peak",
        "beside it",
        "of the roof",
        "oneDNN's",
        "ORT's",
        "Neo / oneDNN",
        "call / ORT",
        "error",
    )
    for group in dict.fromkeys(r["group"] for r in results):
        table = Table(title=f"{group}, {arguments.threads} thread(s)", title_justify="left")
        table.add_column("layer")
        for head in heads:
            table.add_column(head, justify="right")
        mine = [r for r in results if r["group"] == group]
        for result in mine:
            table.add_row(*row(result))
        table.add_section()
        table.add_row(*summary(mine))
        console.print(table)
    if arguments.json:
        document = {"machine": platform.processor() or platform.machine(), "target": Target.host().name}
        arguments.json.write_text(
            json.dumps({**document, "threads": arguments.threads, "results": results}, indent=2) + "\n"
        )


if __name__ == "__main__":
    main()
