"""Whole models on Neo beside ONNX Runtime, OpenVINO and PyTorch: batch 1, interleaved, medians.

    python benchmarks/models.py [MODEL …] [--precision P] [--threads N] [--runs N] [--against PEERS] [--json FILE]

The models are those of test/e2e/models. Each is compiled on all cores, then timed in a process of its own that is kept
on as many cores as there are threads.

With `--precision bf16` or `fp16` Neo and OpenVINO compute in it, the others in fp32. How exact Neo is stands beside the
times: ‖out - ref‖ / ‖ref‖ over all outputs, where ref is OpenVINO's output in fp32, as a mean over random inputs.
"""

import dataclasses
import json
import sys
import tempfile
import time
from pathlib import Path

import side_by_side

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "test" / "e2e"))

DEFAULT = ("resnet50", "mobilenet_v2", "minilm", "bert", "ppocr_det")
PEERS = "onnxruntime,openvino,torch"
DRAWS = 8
"""Random inputs that the error of a precision is the mean of."""


def measure_one(name: str, threads: int, runs: int, wanted: list[str], precision: str) -> dict:
    """Compile and time one model in this process, which stays pinned."""
    import neomlir
    import numpy as np
    from models import MODELS
    from neomlir import timing
    from neomlir.tools.neo_bench import measure

    source, example = MODELS[name].build()
    began = time.perf_counter()
    shapes = {key: a.shape for key, a in example.items()} if isinstance(example, dict) else example
    compiled = neomlir.compile(source, inputs=shapes, precision=precision)
    compile_seconds = time.perf_counter() - began
    with tempfile.TemporaryDirectory() as folder:
        compiled.save(Path(folder) / "model.neo")
        timing.pin(threads)
        model = neomlir.load(Path(folder) / "model.neo", threads=threads)
    arrays = example.values() if isinstance(example, dict) else example
    inputs = {spec.name: np.asarray(array) for spec, array in zip(model.inputs, arrays, strict=True)}
    if MODELS[name].kind == "onnx":
        wanted = [peer for peer in wanted if peer != "torch"]
    result = measure(model, source, inputs, wanted, threads, runs, precision=precision)
    inexact = errors(model, source, inputs, threads, precision) if precision != "fp32" else {}
    return {
        "model": name,
        "compile_seconds": compile_seconds,
        "times": {peer: dataclasses.asdict(timing_) for peer, timing_ in result.times.items()},
        "differences": result.errors,
        "missing": result.missing,
        "errors": inexact,
    }


def errors(model, source, example: dict, threads: int, precision: str) -> dict[str, float]:
    """How far Neo and OpenVINO in `precision` are from OpenVINO in fp32, the mean over random inputs."""
    import numpy as np
    from neomlir import peers
    from neomlir.checking import index_bounds
    from neomlir.samples import Sampler

    reference = peers.make("openvino", source, example, threads)
    peer = peers.make("openvino", source, example, threads, precision)
    sizes = {name: array.shape for name, array in example.items()}
    calls = {"neo": lambda arrays: list(model.run(arrays).values()), "openvino": peer}
    sums = dict.fromkeys(calls, 0.0)
    for seed in range(DRAWS):
        arrays = Sampler(model.inputs, index_bounds(source, example), sizes, seed=seed).draw()
        exact = [np.array(array, "f8") for array in reference(arrays)]
        for name, call in calls.items():
            pairs = list(zip(call(arrays), exact, strict=True))
            off, whole = (
                sum(float(np.sum(np.square(a))) for a in each)
                for each in zip(*((np.asarray(x, "f8") - y, y) for x, y in pairs), strict=True)
            )
            sums[name] += (off / whole) ** 0.5 / DRAWS
    return sums


def row(result: dict, peers: list[str]) -> list[str]:
    """A line of the table: Neo's median, then each peer's with the ratio of Neo to it."""
    if "failed" in result:
        return [result["model"], result["failed"]]
    times = {name: timing["median"] * 1e3 for name, timing in result["times"].items()}
    cells = side_by_side.beside(times, peers, "")
    difference = max(result["differences"].values(), default=0.0)
    off = result["errors"]
    ratio = f"{off['neo'] / off['openvino']:.2f}" if off and off["openvino"] else "its 0"
    exact = [f"{off['neo']:.2e} ({ratio})"] if off else []
    return [
        result["model"],
        f"{times['neo']:.2f} ms",
        *cells,
        *(exact or [f"{difference:.1e}"]),
        f"{result['compile_seconds']:.1f} s",
    ]


def main() -> None:
    parser = side_by_side.parser(__doc__.splitlines()[0], DEFAULT, PEERS)
    parser.add_argument("--precision", choices=("fp32", "bf16", "fp16"), default="fp32")
    arguments = parser.parse_args()
    if arguments.one:
        peers = [name for name in arguments.against.split(",") if name]
        result = measure_one(arguments.models[0], arguments.threads, arguments.runs, peers, arguments.precision)
        print(json.dumps(result))
        return
    columns = ["difference" if arguments.precision == "fp32" else "error (Neo / OpenVINO)"]
    side_by_side.measure_all(__file__, arguments, "precision", columns, row)


if __name__ == "__main__":
    main()
