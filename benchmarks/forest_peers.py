"""What runs trees beside Neo in `forest.py`: libraries in this process, tl2cgen's C code, lleaves in its own Python."""

import json
import os
import subprocess
import time
from pathlib import Path

PEERS = ("xgboost", "lightgbm", "onnxruntime")

_LLEAVES = """
import sys, time
import lleaves, numpy as np
model, rows, made = sys.argv[1:]
rows = np.load(rows).astype(np.float64)
model = lleaves.Model(model_file=model)
began = time.perf_counter()
model.compile(cache=made)
print(time.perf_counter() - began, flush=True)
for line in sys.stdin:
    count, calls = map(int, line.split())
    if count == 1:
        for i in range(calls):
            result = model.predict(rows[i % len(rows)][None], n_jobs=1)
    else:
        for _ in range(calls):
            result = model.predict(rows[:count], n_jobs=1)
    print(repr(float(result[-1])), flush=True)
"""


class Lleaves:
    """lleaves in a process of its own, since it takes an llvmlite older than Neo's: bursts of calls by one message."""

    def __init__(self, python: str, model: Path, rows: Path, made: Path) -> None:
        """Compile `model`, a text file of LightGBM, to the object `made`; `rows` are an `.npy` file."""
        command = [python, "-c", _LLEAVES, str(model), str(rows), str(made)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.seconds = float(self.process.stdout.readline())

    def run(self, count: int, calls: int) -> float:
        """Predict `count` rows so many times (one after the other for one row); the last result."""
        self.process.stdin.write(f"{count} {calls}\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def close(self) -> None:
        """End the process."""
        self.process.stdin.close()
        self.process.wait()


def treelite_model(booster, folder: Path):
    """The model for tl2cgen 1.0, whose Treelite knows neither new fields of XGBoost nor vectors of base scores."""
    import treelite

    booster.save_model(folder / "model.json")
    model = json.loads((folder / "model.json").read_text())
    learner = model["learner"]
    learner["gradient_booster"]["model"].pop("cats", None)
    learner["learner_model_param"]["base_score"] = learner["learner_model_param"]["base_score"].strip("[]")
    (folder / "older.json").write_text(json.dumps(model))
    return treelite.frontend.load_xgboost_model(str(folder / "older.json"))


def build_tl2cgen(booster, folder: Path, threads: int) -> tuple[Path, float]:
    """(tl2cgen's library, the seconds that its C compiler took: as many processes as there are cores)."""
    import tl2cgen

    model, library = treelite_model(booster, folder), folder / "trees.so"
    began = time.perf_counter()
    settings = {"parallel_comp": 8}
    tl2cgen.export_lib(model, toolchain="gcc", libpath=library, params=settings, nthread=os.cpu_count())
    return library, time.perf_counter() - began


def in_process(booster, other, onnx: bytes, threads: int, wanted: list[str]) -> dict:
    """name → a function of rows."""
    found = {}
    if "xgboost" in wanted:
        booster.set_param({"nthread": threads})
        found["xgboost"] = booster.inplace_predict
    if "lightgbm" in wanted:
        found["lightgbm"] = lambda x: other.predict(x, num_threads=threads)
    if "onnxruntime" in wanted:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        session = onnxruntime.InferenceSession(onnx, options)
        found["onnxruntime"] = lambda x: session.run(None, {"x": x})[0]
    return found


def from_c(folder: Path, rows, ways: list[tuple[str, str, Path]], repeats: int) -> list[dict]:
    """Build `forest.c` by zig with the sources of the runtime, and run it on the ways (kind, name, file) in turn.

    Gives a dict a way and kind of call: nanoseconds, the best and the median.
    """
    from neomlir.codegen.runtime_library import write_sources
    from neomlir.codegen.zig import run

    files, program = write_sources(folder / "src"), folder / "forest"
    source = Path(__file__).with_name("forest.c")
    run("cc", "-O2", "-D_GNU_SOURCE", "-I", str(folder / "src"), str(source), *files, "-o", str(program), "-lpthread")
    rows.tofile(folder / "rows.f32")
    numbers = [*rows.shape, repeats, 50]
    command = [str(program), str(folder / "rows.f32"), *map(str, numbers)]
    for kind, name, file in ways:
        command += [kind, name, str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = []
    for line in done.stdout.splitlines():
        *name, kind, best, median, result = line.split()
        found.append(
            {"name": " ".join(name), "call": kind, "best": float(best), "median": float(median), "first": float(result)}
        )
    return found
