"""Whole models of Neo on one thread and on several: interleaved, medians and minima.

    python benchmarks/scaling.py [MODEL …] [--threads N] [--runs N] [--json FILE]

A model is a name of those of test/e2e/models, or a `.neo` file, which runs on random inputs. The process is kept on as
many cores as there are threads.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from neomlir import timing

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "test" / "e2e"))

DEFAULT = ("resnet50", "mobilenet_v2", "minilm", "bert")


def compiled(name: str, folder: Path) -> tuple[Path, list]:
    """The `.neo` file of a model, and arrays for it; none for a file, whose inputs are random."""
    import neomlir

    if name.endswith(".neo"):
        return Path(name), []
    from models import MODELS

    source, example = MODELS[name].build()
    shapes = {key: a.shape for key, a in example.items()} if isinstance(example, dict) else example
    neomlir.compile(source, inputs=shapes, output=folder / f"{name}.neo")
    return folder / f"{name}.neo", [np.asarray(a) for a in (example.values() if isinstance(example, dict) else example)]


def measure(file: Path, arrays: list, threads: int, runs: int) -> dict[int, list[float]]:
    """Seconds of each of `runs` calls, by the number of threads, which take turns."""
    import neomlir
    from neomlir.samples import Sampler

    models = {number: neomlir.load(file, threads=number) for number in (1, threads)}
    inputs = models[1].inputs
    arrays = arrays or list(Sampler(inputs, {}, {}, seed=0).draw().values())
    samples: dict[int, list[float]] = {number: [] for number in models}
    for turn in range(runs + 3):
        for number, model in models.items():
            began = time.perf_counter()
            model(*arrays)
            if turn >= 3:
                samples[number].append(time.perf_counter() - began)
    return samples


def main() -> None:
    """Measure, print a line a model, write JSON."""
    parser = argparse.ArgumentParser("scaling.py", description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=DEFAULT, metavar="MODEL")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--json", type=Path, metavar="FILE")
    asked = parser.parse_args()
    results = []
    with tempfile.TemporaryDirectory() as folder:
        files = {name: compiled(name, Path(folder)) for name in asked.models}
        timing.pin(asked.threads)
        for name, (file, arrays) in files.items():
            samples = measure(file, arrays, asked.threads, asked.runs)
            one, several = (
                {"median": float(np.median(times)), "best": min(times)}
                for times in (samples[1], samples[asked.threads])
            )
            ratio = {key: one[key] / several[key] for key in one}
            results.append({"model": name, "one": one, "several": several, "ratio": ratio})
            print(
                f"{Path(name).stem:16} 1 thread {one['median'] * 1e3:.2f} ms (best {one['best'] * 1e3:.2f}), "
                f"{asked.threads} threads {several['median'] * 1e3:.2f} ms (best {several['best'] * 1e3:.2f}): "
                f"x{ratio['median']:.2f} (best x{ratio['best']:.2f})"
            )
    if asked.json:
        document = {"threads": asked.threads, "runs": asked.runs, "results": results}
        asked.json.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
