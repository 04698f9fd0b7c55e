"""What moves data more than it computes, as shares of this core's copy bandwidth: fp32, one thread, interleaved.

    python benchmarks/streams.py [GROUP …] [--only TEXT] [--large BYTES] [--small BYTES] [--tiny BYTES]
                                 [--against torch] [--json FILE]

Groups: elementwise, reductions, rows, windows, moves. A share is the time of a copy of as many bytes, read and written
together, over the best time: 100 % is as fast as `memcpy`, measured in the same process before and after. Each
operation is measured at three sizes: one far larger than the second-level cache, one that fits it and is still there,
and one that fits the first-level cache.

Neo's time is that of its kernels inside a run. New pages for results are no part of it: memory that is freed is kept
and taken again, by peers too (`--fresh-pages` leaves that to the allocator, as it is).
"""

import argparse
import ctypes
import json
import math
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import neomlir
import numpy as np
import torch
import torch.nn.functional as F
from neomlir import peers, timing
from neomlir.machine import Meter
from neomlir.targets import Target
from roofline import mean


class Function(torch.nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable):
        super().__init__()
        self.function = function

    def forward(self, *arguments):
        return self.function(*arguments)


@dataclass(frozen=True)
class Stream:
    """An operation; `shapes` gives its inputs for about so many elements in all inputs."""

    group: str
    name: str
    function: Callable
    shapes: Callable[[int], list[tuple[int, ...]]]


def rows(columns: int, count: int = 1) -> Callable[[int], list[tuple[int, ...]]]:
    """`count` matrices of so many columns."""
    return lambda n: [(max(1, n // count // columns), columns)] * count


def planes(channels: int, last: bool = True, count: int = 1) -> Callable[[int], list[tuple[int, ...]]]:
    """Square planes with their channels last, or first."""

    def shapes(n: int) -> list[tuple[int, ...]]:
        side = max(4, int(math.sqrt(n / count / channels)) // 2 * 2)
        return [(1, side, side, channels) if last else (1, channels, side, side)] * count

    return shapes


def inside(function: Callable) -> Callable:
    """A function of planes whose channels are first, on planes whose channels are last."""
    return lambda x: function(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


def resized(mode: str) -> Callable:
    more = {"align_corners": False} if mode == "bilinear" else {}
    return inside(lambda x: F.interpolate(x, scale_factor=2.0, mode=mode, **more))


STREAMS = [
    Stream("elementwise", "relu(x * y + x)", lambda x, y: torch.relu(x * y + x), rows(1024, 2)),
    Stream("elementwise", "x + y", lambda x, y: x + y, rows(1024, 2)),
    Stream("elementwise", "x + row", lambda x: x + torch.arange(768.0), rows(768)),
    Stream("elementwise", "GELU", F.gelu, rows(1024)),
    Stream("elementwise", "sigmoid", torch.sigmoid, rows(1024)),
    Stream("elementwise", "SiLU", F.silu, rows(1024)),
    Stream("reductions", "sums of rows of 1024", lambda x: x.sum(1), rows(1024)),
    Stream("reductions", "sums of rows of 100", lambda x: x.sum(1), rows(100)),
    Stream("reductions", "sums of columns", lambda x: x.sum(0), rows(1024)),
    Stream("reductions", "largest of all", lambda x: x.amax(), rows(1024)),
    Stream("reductions", "mean of planes, channels last", lambda x: x.mean((1, 2)), planes(64)),
    Stream("reductions", "mean of planes, channels first", lambda x: x.mean((2, 3)), planes(64, last=False)),
    Stream("rows", "softmax of 128", lambda x: x.softmax(1), rows(128)),
    Stream("rows", "softmax of 333", lambda x: x.softmax(1), rows(333)),
    Stream("rows", "softmax of 1000", lambda x: x.softmax(1), rows(1000)),
    Stream("rows", "layer norm of 768", lambda x: F.layer_norm(x, (768,)), rows(768)),
    Stream("rows", "layer norm of 333", lambda x: F.layer_norm(x, (333,)), rows(333)),
    Stream("windows", "max pool 3x3 / 2", inside(lambda x: F.max_pool2d(x, 3, 2, 1)), planes(64)),
    Stream("windows", "max pool 2x2 / 2", inside(lambda x: F.max_pool2d(x, 2)), planes(64)),
    Stream("windows", "average pool 2x2 / 2", inside(lambda x: F.avg_pool2d(x, 2)), planes(64)),
    Stream("windows", "resize x 2, nearest", resized("nearest"), lambda n: planes(64)(n * 2 // 5)),
    Stream("windows", "resize x 2, bilinear", resized("bilinear"), lambda n: planes(64)(n * 2 // 5)),
    Stream("moves", "copy by rows", lambda x: -x, rows(1024)),
    Stream("moves", "transpose", lambda x: x.t().contiguous(), rows(1024)),
    Stream("moves", "transpose, odd", lambda x: x.t().contiguous(), rows(1003)),
    Stream("moves", "channels first to last", lambda x: x.permute(0, 2, 3, 1).contiguous(), planes(64, last=False)),
    Stream("moves", "3 channels first to last", lambda x: x.permute(0, 2, 3, 1).contiguous(), planes(3, last=False)),
    Stream("moves", "channels last to first", lambda x: x.permute(0, 3, 1, 2).contiguous(), planes(64)),
    Stream("moves", "heads", lambda x: x.reshape(1, -1, 12, 64).transpose(1, 2).contiguous(), rows(768)),
    Stream("moves", "concatenation of channels", lambda x, y: torch.cat([x, y], 3), planes(64, count=2)),
    Stream("moves", "concatenation of rows", lambda x, y: torch.cat([x, y], 0), rows(1024, 2)),
    Stream("moves", "border of 1", lambda x: F.pad(x, (0, 0, 1, 1, 1, 1)), planes(64)),
]
GROUPS = list(dict.fromkeys(stream.group for stream in STREAMS))


class Case:
    """A stream at a size, compiled."""

    def __init__(self, stream: Stream, size: int, place: Path):
        self.stream, self.place = stream, place
        torch.manual_seed(0)
        # About as many bytes read and written together, on the supposition that half of them are read.
        self.examples = [torch.randn(shape) for shape in stream.shapes(size // 8)]
        self.module = Function(stream.function).eval()
        with torch.inference_mode():
            self.expected = self.module(*self.examples)
        moved = [*self.examples, self.expected]
        self.bytes = sum(4 * tensor.numel() for tensor in moved)
        if not place.exists():
            neomlir.compile(self.module, inputs=tuple(self.examples), output=place, tuned=False)

    def calls(self, against: list[str]) -> dict[str, Callable[[], float]]:
        """Each gives the seconds of a call."""
        model = neomlir.load(self.place, threads=1)
        arrays = {spec.name: x.numpy() for spec, x in zip(model.inputs, self.examples, strict=True)}
        found = torch.from_numpy(np.asarray(model(*arrays.values()))).reshape(self.expected.shape)
        self.error = float((found - self.expected).norm() / self.expected.norm())
        self.schedules = [model.report["kernels"][step]["schedule"] for step in model.report["steps"]]

        def neo() -> float:
            events = model.trace(arrays)[1]
            return float((events[:, 1] - events[:, 0]).sum()) * 1e-9

        def eager() -> float:
            with torch.inference_mode():
                return _timed(lambda: self.module(*self.examples))

        made = {"neo": neo}
        for name in against:
            if name == "torch":
                made[name] = eager
            else:
                peer = peers.make(name, self.module, arrays, 1)
                made[name] = lambda peer=peer: _timed(lambda: peer(arrays))
        return made


def _timed(call: Callable) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def measure(case: Case, against: list[str], meter: Meter, seconds: float) -> dict:
    """Bursts of each in turn for about `seconds`, so that what fits a cache is there, and copies before and after."""
    calls = case.calls(against)
    copies = [_copy(case, meter)]
    times: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times["neo"]) < 6:
        for name, call in calls.items():
            times[name] += [call() for _ in range(6)][1:]
    copies.append(_copy(case, meter))
    copy = max(copies)
    return {
        "group": case.stream.group,
        "name": case.stream.name,
        "by": case.schedules,
        "bytes": case.bytes,
        "copy": copy,
        "error": case.error,
        "best": {name: min(values) for name, values in times.items()},
        "median": {name: statistics.median(values) for name, values in times.items()},
        "share": {name: case.bytes / min(values) / copy for name, values in times.items()},
    }


def _copy(case: Case, meter: Meter) -> float:
    return meter.copies(case.bytes, 3)


def keep_pages() -> None:
    """Have the allocator keep what is freed, arrays of up to 32 MB among it, instead of asking for new pages."""
    libc = ctypes.CDLL(None)
    for option, value in ((-3, 32 << 20), (-1, 1 << 30)):
        if not libc.mallopt(option, value):
            raise SystemExit("mallopt refused; use --fresh-pages")


def row(result: dict, against: list[str]) -> list[str]:
    return [
        result["name"],
        "+".join(dict.fromkeys(result["by"])),
        f"{result['bytes'] / 1e6:.2f}",
        f"{result['best']['neo'] * 1e6:.1f}",
        f"{result['bytes'] / result['best']['neo'] / 1e9:.1f}",
        *(f"{result['share'][name]:.0%}" for name in ("neo", *against)),
        f"{result['error']:.0e}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("groups", nargs="*", default=GROUPS, metavar="GROUP", help=f"default: {' '.join(GROUPS)}")
    parser.add_argument("--only", default="", metavar="TEXT", help="operations whose name holds TEXT")
    parser.add_argument("--large", type=int, default=32 << 20, help="bytes read and written (default: 32 MiB; 0: none)")
    parser.add_argument(
        "--small", type=int, default=1 << 19, help="bytes of the ones in cache (default: 512 KiB; 0: none)"
    )
    parser.add_argument(
        "--tiny", type=int, default=1 << 14, help="bytes of those in the first-level cache (default: 16 KiB; 0: none)"
    )
    parser.add_argument("--against", default="torch", help="peers: torch, onnxruntime (default: torch)")
    parser.add_argument("--seconds", type=float, default=0.3, help="of measurement an operation (default: 0.3)")
    parser.add_argument("--fresh-pages", action="store_true", help="let results have new pages, as the allocator does")
    parser.add_argument("--programs", type=Path, metavar="DIR", help="keep programs there, and take what is there")
    parser.add_argument("--compile-only", action="store_true", help="measure nothing; with --programs")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers to this file")
    arguments = parser.parse_args()
    if unknown := set(arguments.groups) - set(GROUPS):
        parser.error(f"there is no group {', '.join(sorted(unknown))}; there are {', '.join(GROUPS)}")
    from rich.console import Console
    from rich.table import Table

    against = [name for name in arguments.against.split(",") if name]
    if not arguments.fresh_pages:
        keep_pages()
    chosen = [s for s in STREAMS if s.group in arguments.groups and arguments.only in s.name]
    sizes = [size for size in (arguments.large, arguments.small, arguments.tiny) if size]
    results: dict[int, list[dict]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.programs or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        places = {s.name: f"{STREAMS.index(s):02}.neo" for s in chosen}
        cases = {size: [Case(s, size, folder / f"{size}-{places[s.name]}") for s in chosen] for size in sizes}
        if arguments.compile_only:
            return
        timing.pin(1)
        torch.set_num_threads(1)
        meter = Meter(Target.host(), 1)
        for size, each in cases.items():
            results[size] = []
            for case in each:
                results[size].append(measure(case, against, meter, arguments.seconds))
                print(".", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    console = Console(width=None if sys.stdout.isatty() else 140)
    for size, each in results.items():
        table = Table(title=f"about {size >> 10} KiB read and written", title_justify="left")
        table.add_column("operation")
        heads = ("by", "MB", "best µs", "GB/s", "of a copy", *(f"{name}'s" for name in against), "error")
        for head in heads:
            table.add_column(head, justify="right")
        for result in each:
            table.add_row(*row(result, against))
        table.add_section()
        shares = [f"{mean([r['share'][name] for r in each]):.0%}" for name in ("neo", *against)] if each else []
        table.add_row("geometric mean", "", "", "", "", *shares, "")
        console.print(table)
    if arguments.json:
        document = {"machine": platform.processor() or platform.machine(), "target": Target.host().name}
        flat = [result for each in results.values() for result in each]
        arguments.json.write_text(json.dumps({**document, "results": flat}, indent=2) + "\n")


if __name__ == "__main__":
    main()
