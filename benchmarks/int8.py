"""Quantised models on Neo beside ONNX Runtime and OpenVINO: the same QDQ file, batch 1, interleaved, medians.

    python benchmarks/int8.py [MODEL …] [--threads N] [--runs N] [--against PEERS] [--activations u8|s8] [--json FILE]

The models are those of test/e2e/models, exported to ONNX and quantised by `onnxruntime.quantization.quantize_static`:
8-bit weights with a scale a channel, activations calibrated on a few random inputs. How exact each is: the largest
distance from the model as it is written, in steps of its output's quantisation. Each is timed in a process of its
own that is kept on as many cores as there are threads.
"""

import dataclasses
import json
import logging
import sys
import tempfile
import time
import warnings
from pathlib import Path

import side_by_side

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "test" / "e2e"))

DEFAULT = ("mobilenet_v2", "resnet50")
PEERS = "onnxruntime,openvino"
CALIBRATION = 4
"""Random inputs that the ranges of activations are taken from."""


def quantised(name: str, folder: Path, activations: str = "u8") -> tuple[Path, dict]:
    """The path of the QDQ file of a model of test/e2e, and example arrays by input name."""
    import numpy as np
    import torch
    from models import MODELS
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    logging.getLogger().setLevel(logging.ERROR)
    module, example = MODELS[name].build()
    plain, ready, done = (folder / f"{name}{suffix}.onnx" for suffix in ("", ".ready", ".qdq"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module, example, plain, input_names=["x"], output_names=["y"], dynamo=False, opset_version=18)
    quant_pre_process(plain, ready)
    random = np.random.default_rng(0)
    shape = tuple(example[0].shape)

    class Random(CalibrationDataReader):
        """Standard normal inputs."""

        left = CALIBRATION

        def get_next(self):
            self.left -= 1
            return {"x": random.standard_normal(shape, dtype=np.float32)} if self.left >= 0 else None

    quantize_static(
        ready,
        done,
        Random(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8 if activations == "u8" else QuantType.QInt8,
        weight_type=QuantType.QInt8,
    )
    return done, {"x": random.standard_normal(shape, dtype=np.float32)}


def measure_one(name: str, threads: int, runs: int, wanted: list[str], activations: str) -> dict:
    """Quantise, compile and time one model in this process, which stays pinned."""
    import neomlir
    from neomlir import timing
    from neomlir.tools.neo_bench import measure

    with tempfile.TemporaryDirectory() as folder:
        source, inputs = quantised(name, Path(folder), activations)
        began = time.perf_counter()
        neomlir.compile(source, output=Path(folder) / "model.neo")
        compile_seconds = time.perf_counter() - began
        timing.pin(threads)
        model = neomlir.load(Path(folder) / "model.neo", threads=threads)
        result = measure(model, source, inputs, wanted, threads, runs)
    return {
        "model": name,
        "activations": activations,
        "compile_seconds": compile_seconds,
        "times": {peer: dataclasses.asdict(timing_) for peer, timing_ in result.times.items()},
        "differences": result.errors,
        "quanta": result.quanta,
        "missing": result.missing,
    }


def row(result: dict, peers: list[str]) -> list[str]:
    """A line of the table: medians (and the ratio of Neo to each peer), least times, quanta off, compile time."""
    if "failed" in result:
        return [result["model"], result["failed"]]
    times = {name: timing["median"] * 1e3 for name, timing in result["times"].items()}
    low = {name: timing["low"] * 1e3 for name, timing in result["times"].items()}
    cells = side_by_side.beside(times, peers, "missing")
    return [
        result["model"],
        f"{times['neo']:.2f} ms",
        *cells,
        ", ".join(f"{low[name]:.2f}" for name in ("neo", *peers) if name in low),
        ", ".join(f"{result['quanta'][name]:.0f}" for name in ("neo", *peers) if name in result["quanta"]),
        f"{result['compile_seconds']:.1f} s",
    ]


def main() -> None:
    parser = side_by_side.parser(__doc__.splitlines()[0], DEFAULT, PEERS)
    parser.add_argument("--activations", choices=("u8", "s8"), default="u8", help="default: u8")
    arguments = parser.parse_args()
    if arguments.one:
        peers = [name for name in arguments.against.split(",") if name]
        result = measure_one(arguments.models[0], arguments.threads, arguments.runs, peers, arguments.activations)
        print(json.dumps(result))
        return
    columns = ["10 % least, ms", "quanta off"]
    side_by_side.measure_all(__file__, arguments, "activations", columns, row)


if __name__ == "__main__":
    main()
