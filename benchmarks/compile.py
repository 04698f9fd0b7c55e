"""How long each model takes from its source to its first result, and how much memory, on Neo and on its peers.

    python benchmarks/compile.py [MODEL …] [--tools TOOLS] [--json FILE]

Tools: `neo` compiles with an empty cache, `neo-again` with what `neo` left there, `neo-load` opens the finished `.neo`
file; `onnxruntime` and `openvino` open the model as ONNX, which is written beforehand; `torch-compile` is
`torch.compile`. Each runs in a process of its own with all cores.

The clock starts when everything is imported and the source model stands in memory (as a file for ONNX), and stops at
the first result. Memory is the proportional set size of the process and its children, looked at every 20 ms: the most
from the start of the clock on, and in brackets what was there before.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "test" / "e2e"))

DEFAULT = ("resnet50", "mobilenet_v2", "bert", "minilm", "ppocr_det")
TOOLS = ("neo", "neo-again", "neo-load", "onnxruntime", "openvino", "torch-compile")


def prepare(name: str, folder: Path) -> None:
    """Write the model as ONNX for those who read it, and its example inputs."""
    import numpy as np
    from models import MODELS
    from neomlir import peers

    source, example = MODELS[name].build()
    if MODELS[name].kind == "onnx":
        inputs = example
        (folder / "model.onnx").write_bytes(Path(source).read_bytes())
    else:
        inputs = {f"x{i}": np.asarray(array) for i, array in enumerate(example)}
        (folder / "model.onnx").write_bytes(peers.onnx_bytes(source, inputs))
    np.savez(folder / "inputs.npz", **inputs)


def starter(name: str, tool: str, folder: Path) -> Callable[[], object]:
    """What is timed; everything that it needs is imported and built here."""
    import numpy as np

    with np.load(folder / "inputs.npz") as data:
        inputs = dict(data)
    if tool.startswith("neo"):
        return _neo(name, tool, folder, list(inputs.values()))
    if tool == "onnxruntime":
        import onnxruntime

        def start():
            session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
            return session.run(None, inputs)

    elif tool == "openvino":
        import openvino

        def start():
            core = openvino.Core()
            compiled = core.compile_model(folder / "model.onnx", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
            return compiled(inputs)

    else:
        import torch
        import torch._inductor.config
        from models import MODELS

        torch._inductor.config.force_disable_caches = True
        model, example = MODELS[name].build()

        def start():
            with torch.inference_mode():
                return torch.compile(model)(*example)

    return start


def _neo(name: str, tool: str, folder: Path, arrays: list) -> Callable[[], object]:
    import neomlir
    import neomlir.api

    if tool == "neo-load":
        return lambda: neomlir.load(folder / "model.neo")(*arrays)
    from models import MODELS

    source, example = MODELS[name].build()
    inputs = {key: array.shape for key, array in example.items()} if isinstance(example, dict) else example
    return lambda: neomlir.compile(source, inputs=inputs, output=folder / "model.neo")(*arrays)


def one(name: str, tool: str, folder: Path) -> None:
    """The child: says when it is ready and when it is done."""
    start = starter(name, tool, folder)
    print("ready", flush=True)
    sys.stdin.readline()
    begin = time.perf_counter()
    start()
    print(json.dumps(time.perf_counter() - begin), flush=True)


class Watch(threading.Thread):
    """The most memory that a process and its children hold together."""

    def __init__(self, pid: int):
        super().__init__(daemon=True)
        self.process, self.most, self.stopped = psutil.Process(pid), 0, threading.Event()

    def now(self) -> int:
        total = 0
        for process in [self.process, *self.process.children(recursive=True)]:
            try:
                total += process.memory_full_info().pss
            except psutil.Error:
                continue
        return total

    def run(self) -> None:
        while not self.stopped.wait(0.02):
            try:
                self.most = max(self.most, self.now())
            except psutil.Error:
                return


def measure(name: str, tool: str, folder: Path) -> dict:
    """One tool on one model; a failure is a row too."""
    command = [sys.executable, __file__, name, "--one", tool, "--folder", str(folder)]
    environment = {**os.environ, "NEO_CACHE_DIR": str(folder / "cache")}
    child = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    lines = []
    while (line := child.stdout.readline()) and line.strip() != "ready":
        continue
    if line:
        watch = Watch(child.pid)
        before = watch.now()
        watch.start()
        child.stdin.write("\n")
        child.stdin.flush()
        lines = child.stdout.readlines()
        watch.stopped.set()
    errors = child.communicate()[1]
    if not lines or child.returncode:
        last = errors.strip().splitlines()[-1:] or [f"exit code {child.returncode}"]
        return {"model": name, "tool": tool, "failed": last[0][:200]}
    return {
        "model": name,
        "tool": tool,
        "seconds": json.loads(lines[-1]),
        "peak_bytes": max(before, watch.most),
        "before_bytes": before,
    }


def cell(result: dict | None) -> str:
    if result is None:
        return ""
    if "failed" in result:
        return "failed"
    peak, before = (result[key] / 1e6 for key in ("peak_bytes", "before_bytes"))
    return f"{result['seconds']:.2f} s, {peak:.0f} MB ({before:.0f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=DEFAULT, metavar="MODEL", help=f"default: {' '.join(DEFAULT)}")
    parser.add_argument("--tools", default=",".join(TOOLS), help=f"default: {','.join(TOOLS)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers to this file")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        one(arguments.models[0], arguments.one, arguments.folder)
        return
    tools = [tool for tool in arguments.tools.split(",") if tool]
    if unknown := set(tools) - set(TOOLS):
        parser.error(f"there is no tool {', '.join(sorted(unknown))}; there are {', '.join(TOOLS)}")
    from models import MODELS
    from rich.console import Console
    from rich.table import Table

    table = Table("model", *tools)
    results = []
    for name in arguments.models:
        with tempfile.TemporaryDirectory() as folder:
            prepare(name, Path(folder))
            fitting = [t for t in tools if t != "torch-compile" or MODELS[name].kind == "torch"]
            mine = {tool: measure(name, tool, Path(folder)) for tool in fitting}
        results += mine.values()
        table.add_row(name, *(cell(mine.get(tool)) for tool in tools))
    Console(width=None if sys.stdout.isatty() else 160).print(table)
    for result in results:
        if "failed" in result:
            print(f"{result['model']} on {result['tool']}: {result['failed']}", file=sys.stderr)
    if arguments.json:
        document = {"machine": platform.processor() or platform.machine(), "cores": os.cpu_count()}
        arguments.json.write_text(json.dumps({**document, "results": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
