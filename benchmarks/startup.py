"""How large the runtime is and how long a cold start takes, beside the peers: MobileNetV2, from exec to exit.

    python benchmarks/startup.py [--model NAME] [--runs N] [--dlr WHEEL] [--json FILE]

Each way to run the model once is a process of its own; they take turns, and the medians and minima are of the whole
process, on one core. The files are in the page cache. `--dlr` names a wheel of Neo's former runtime, for its size.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "test" / "e2e"))

FLAGS = ("-Os", "-s", "-fno-unwind-tables", "-fno-asynchronous-unwind-tables", "-D_GNU_SOURCE")
"""Of the command in docs/runtime.md."""

IMPORT = "import {}"
TORCH = """
import torch
model = torch.load({folder!r} + "/model.pth", weights_only=False)
with torch.inference_mode():
    model(torch.zeros({shape}))
"""
ONNXRUNTIME = """
import numpy, onnxruntime
session = onnxruntime.InferenceSession({folder!r} + "/model.onnx", providers=["CPUExecutionProvider"])
session.run(None, {{session.get_inputs()[0].name: numpy.zeros({shape}, numpy.float32)}})
"""
OPENVINO = """
import numpy, openvino
compiled = openvino.Core().compile_model({folder!r} + "/model.onnx", "CPU")
compiled([numpy.zeros({shape}, numpy.float32)])
"""
NEOMLIR = """
import neomlir, numpy
neomlir.load({folder!r} + "/model.neo")(numpy.zeros({shape}, numpy.float32))
"""


def prepare(name: str, folder: Path) -> dict[str, list[str]]:
    """Make the programs and files; a command for each way to a first result."""
    import neomlir
    import numpy as np
    import torch
    from models import MODELS
    from neomlir import peers
    from neomlir.codegen.runtime_library import write_sources
    from neomlir.codegen.zig import run, static_triple
    from neomlir.targets import Target

    model, example = MODELS[name].build()
    array = example[0].numpy()
    neomlir.compile(model, inputs=example, output=folder / "model.neo")
    emitted = neomlir.compile(model, inputs=example, output=folder / "model", emit="exe")
    np.save(folder / "x.npy", np.zeros_like(array))
    (folder / "model.onnx").write_bytes(peers.onnx_bytes(model, {"x0": array}))
    torch.save(model, folder / "model.pth")
    files = write_sources(folder / "src")
    out = str(folder / "start")
    source = str(HERE / "startup.c")
    run("cc", "-target", static_triple(Target.host()), *FLAGS, "-I", str(folder / "src"), source, *files, "-o", out)
    python = [sys.executable, "-c"]
    values = {"folder": str(folder), "shape": tuple(array.shape)}
    return {
        "Neo, executable": [str(folder / "model"), "--input", f"{emitted.inputs[0].name}={folder}/x.npy"],
        "Neo, .neo file from C": [out, str(folder / "model.neo")],
        "Neo, .neo file from Python": [*python, NEOMLIR.format(**values)],
        "import torch alone": [*python, IMPORT.format("torch")],
        "PyTorch": [*python, TORCH.format(**values)],
        "ONNX Runtime": [*python, ONNXRUNTIME.format(**values)],
        "OpenVINO": [*python, OPENVINO.format(**values)],
    }


def start_times(commands: dict[str, list[str]], runs: int) -> dict[str, list[float]]:
    """Seconds of each command's whole process, taking turns; the first round is not counted."""
    times: dict[str, list[float]] = {name: [] for name in commands}
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent / "test" / "e2e"), "OMP_NUM_THREADS": "1"}
    for number in range(runs + 1):
        for name, command in commands.items():
            begin = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
            if number:
                times[name].append(time.perf_counter() - begin)
    return times


def installed(package: str) -> int:
    """Bytes of a package's files, without what it depends on."""
    import importlib.metadata

    files = importlib.metadata.files(package) or []
    return sum(path.stat().st_size for file in files if (path := Path(str(file.locate()))).is_file())


def sizes(folder: Path, dlr: str | None) -> dict[str, int]:
    """Bytes of the runtime in each form, and of what the peers install."""
    from neomlir import artifact
    from neomlir.codegen.runtime_library import runtime_library
    from neomlir.codegen.zig import run, static_triple
    from neomlir.targets import Target

    (folder / "bare.c").write_text('#include <stdio.h>\nint main(void) { return puts("x"), 0; }\n')
    file = artifact.read(folder / "model.neo")
    model = len(file.part("weights.bin")) + len(file.part("code.so"))
    found = {}
    for architecture in ("x86_64", "aarch64"):
        library = runtime_library(f"{architecture}-unknown-linux-gnu")
        found[f"Neo, shared library, {architecture}"] = library.stat().st_size
    bare = folder / "bare"
    run("cc", "-target", static_triple(Target.host()), *FLAGS, str(folder / "bare.c"), "-o", str(bare))
    found["Neo, added to a static program that opens files"] = (folder / "start").stat().st_size - bare.stat().st_size
    found["Neo, executable, beside weights and code"] = (folder / "model").stat().st_size - model
    for name, package in (("PyTorch (CPU)", "torch"), ("ONNX Runtime", "onnxruntime"), ("OpenVINO", "openvino")):
        found[name] = installed(package)
    if dlr:
        with zipfile.ZipFile(dlr) as wheel:
            found[f"dlr, {Path(dlr).name}"] = sum(info.file_size for info in wheel.infolist())
    return found


def main() -> int:
    """Measure and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mobilenet_v2", help="one of test/e2e/models, of one float32 input")
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--dlr", metavar="WHEEL", help="a wheel of dlr, for its size")
    parser.add_argument("--json", metavar="FILE", help="write the figures there")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="neo-startup-") as name:
        folder = Path(name)
        (folder / "src").mkdir()
        commands = prepare(arguments.model, folder)
        bytes_of = sizes(folder, arguments.dlr)
        times = start_times(commands, arguments.runs)
    print("| | size |\n|---|---|")
    for name, size in bytes_of.items():
        print(f"| {name} | {size / 1000:,.1f} kB |")
    base = statistics.median(times["import torch alone"])
    print("\n| from exec to exit | median | least | `import torch` takes |\n|---|---|---|---|")
    for name, values in times.items():
        median = statistics.median(values)
        print(f"| {name} | {median * 1e3:.1f} ms | {min(values) * 1e3:.1f} ms | {base / median:.1f} times as long |")
    if arguments.json:
        Path(arguments.json).write_text(json.dumps({"sizes": bytes_of, "seconds": times}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
