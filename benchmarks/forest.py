"""Decision trees on Neo beside XGBoost, LightGBM, ONNX Runtime, tl2cgen and lleaves: interleaved, medians and minima.

    python benchmarks/forest.py [--trees 500] [--depth 6] [--features 50] [--rows 1,1000,10000] [--threads N]
                                [--runs N] [--against PEERS] [--c] [--lleaves PYTHON] [--scaling N] [--json FILE]

One model is trained by XGBoost and run by Neo, XGBoost (`inplace_predict`), ONNX Runtime (`TreeEnsembleRegressor`) and,
where it is asked for, tl2cgen (its C code takes about a minute to build). LightGBM trains one of the same size of its
own, and Neo and lleaves run that too; `--lleaves` names a Python that has lleaves and an llvmlite it can use (< 0.44).
Rows are float32 (float64 for lleaves), and lie in memory. Calls for one row go through 1,000 different rows: the same
row over and over is learnt by heart by the branch predictor. `one row` is a program for one row.

`--c` calls the compiled entries from C (`forest.c`): Neo's programs, tl2cgen's and lleaves' functions. `--scaling`
compares 1 thread of Neo with N, on rows enough.
"""

import argparse
import dataclasses
import functools
import itertools
import json
import sys
import tempfile
import time
from pathlib import Path

import forest_peers
from forest_peers import PEERS

_BURST = 50
_DIFFERENT = 1000


def train(trees: int, depth: int, features: int):
    """(an XGBoost model, a LightGBM model, rows for both) of a noisy regression."""
    import lightgbm
    import numpy as np
    import xgboost

    rng = np.random.default_rng(0)
    x = rng.standard_normal((20000, features)).astype(np.float32)
    y = x @ rng.standard_normal(features) + 3 * rng.standard_normal(len(x))
    first = xgboost.train({"max_depth": depth, "eta": 0.1}, xgboost.DMatrix(x, y), trees)
    settings = {"num_leaves": 1 << depth, "max_depth": depth, "verbose": -1, "min_data_in_leaf": 5}
    return first, lightgbm.train(settings, lightgbm.Dataset(x, y), trees), x


def onnx_model(booster, features: int) -> bytes:
    """The same trees as a `TreeEnsembleRegressor`."""
    import numpy as np
    from neomlir.dialects import context
    from neomlir.frontends import import_model
    from neomlir.trees import MISSING_LEFT, Trees
    from onnx import TensorProto, helper

    module = import_model(booster, None, context()).module
    operation = module.body.operations[0].regions[0].blocks[0].operations[0]
    trees = Trees.of(operation.operation)
    names = ("treeids", "nodeids", "featureids", "values", "truenodeids", "falsenodeids")
    nodes: dict[str, list] = {name: [] for name in names}
    modes, missing = [], []
    targets: dict[str, list] = {"treeids": [], "nodeids": [], "ids": [], "weights": []}
    for number, root in enumerate(trees.roots.tolist()):
        queue = [root]
        for at, node in enumerate(queue):
            nodes["treeids"].append(number)
            nodes["nodeids"].append(at)
            inner = node >= 0
            modes.append("BRANCH_LT" if inner else "LEAF")
            missing.append(int(inner and trees.flags[node] & MISSING_LEFT))
            nodes["featureids"].append(int(trees.features[node]) if inner else 0)
            nodes["values"].append(float(trees.thresholds[node]) if inner else 0.0)
            nodes["truenodeids"].append(len(queue) if inner else 0)
            nodes["falsenodeids"].append(len(queue) + 1 if inner else 0)
            if inner:
                queue += [int(trees.left[node]), int(trees.right[node])]
            else:
                for key, value in (("treeids", number), ("nodeids", at), ("ids", 0)):
                    targets[key].append(value)
                targets["weights"].append(float(trees.values[-1 - node, 0]))
    node = helper.make_node(
        "TreeEnsembleRegressor",
        ["x"],
        ["y"],
        domain="ai.onnx.ml",
        n_targets=1,
        base_values=np.asarray(trees.base).tolist(),
        nodes_modes=modes,
        nodes_missing_value_tracks_true=missing,
        **{f"nodes_{key}": value for key, value in nodes.items()},
        **{f"target_{key}": value for key, value in targets.items()},
    )
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, features])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 1])
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(helper.make_graph([node], "trees", [x], [y]), opset_imports=opsets, ir_version=9)
    return model.SerializeToString()


def main(argv: list[str] | None = None) -> int:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser("forest.py", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--trees", type=int, default=500)
    add("--depth", type=int, default=6)
    add("--features", type=int, default=50)
    add("--rows", default="1,1000,10000", help="numbers of rows, with commas between them")
    add("--threads", type=int, default=1)
    add("--runs", type=int, default=50, help="calls of each, for one row; fewer for more rows")
    add("--against", default=",".join(PEERS), help=f"of {', '.join(PEERS)}, tl2cgen")
    add("--c", action="store_true", help="call compiled entries from C too: Neo, and tl2cgen and lleaves where asked")
    add("--lleaves", metavar="PYTHON", help="run lleaves by this Python")
    add("--scaling", type=int, metavar="N", help="compare 1 thread of Neo with N, and nothing else")
    add("--json", metavar="FILE")
    asked = parser.parse_args(argv)
    booster, other, x = train(asked.trees, asked.depth, asked.features)
    found = scale(asked, booster, x) if asked.scaling else compare(asked, booster, other, x)
    if asked.json:
        Path(asked.json).write_text(json.dumps({"settings": vars(asked), **found}, indent=2))
    return 0


def compare(asked: argparse.Namespace, booster, other, x) -> dict:
    """All models on all numbers of rows."""
    import neomlir
    import numpy as np
    from neomlir import timing

    began = time.perf_counter()
    models = {"neo": neomlir.compile(booster, cache=False, threads=asked.threads)}
    built = {"neo": time.perf_counter() - began}
    models["neo, one row"] = neomlir.compile(booster, inputs=((1, asked.features),))
    floats = (((None, asked.features), "float32"),)
    models["neo (LightGBM's)"] = neomlir.compile(other, inputs=floats, threads=asked.threads)
    models["neo, one row (LightGBM's)"] = neomlir.compile(other, inputs=(((1, asked.features), "float32"),))
    results, from_c, wanted = [], [], asked.against.split(",")
    with tempfile.TemporaryDirectory() as name:
        folder, library = Path(name), None
        if "tl2cgen" in wanted:
            import tl2cgen

            library, built["tl2cgen"] = forest_peers.build_tl2cgen(booster, folder, asked.threads)
            predictor = tl2cgen.Predictor(str(library), nthread=asked.threads)
        lleaves = start_lleaves(asked, other, x, folder)
        if lleaves:
            built["lleaves"] = lleaves.seconds
        timing.pin(asked.threads)
        onnx = onnx_model(booster, asked.features)
        others = forest_peers.in_process(booster, other, onnx, asked.threads, wanted)
        if library:
            others["tl2cgen"] = lambda rows: predictor.predict(tl2cgen.DMatrix(rows))
        for count in map(int, asked.rows.split(",")):
            rows = np.ascontiguousarray(x[:count])
            calls = {n: f for n, f in {**models, **others}.items() if count == 1 or "one row" not in n}
            outputs = {n: np.asarray(call(rows)).reshape(-1) for n, call in calls.items()}
            errors = {}
            for n in outputs:
                framework = "lightgbm" if "LightGBM" in n else "xgboost"
                if n not in PEERS and framework in outputs:
                    errors[n] = float(np.abs(outputs[n] - outputs[framework]).max())
            runs = max(9, asked.runs * 20 // max(count, 20))
            # Calls on few rows come in bursts, as they do where one model is served.
            burst = max(1, _BURST // count)
            turns = {n: functools.partial(repeat, call, different(x, count, burst)) for n, call in calls.items()}
            if lleaves:
                turns["lleaves"] = functools.partial(lleaves.run, count, burst)
            times = timing.interleave(turns, runs)
            times = {n: timing.Timing(t.median / burst, t.low / burst, t.high / burst, runs) for n, t in times.items()}
            times = {n: dataclasses.asdict(t) for n, t in times.items()}
            results.append({"rows": count, "times": times, "largest difference": errors})
        if asked.c:
            from_c = call_from_c(asked, booster, other, x, folder, library)
        if lleaves:
            lleaves.close()
    show(results, built, from_c, asked)
    return {"built": built, "results": results, "from C": from_c}


def start_lleaves(asked: argparse.Namespace, other, x, folder: Path):
    """lleaves on LightGBM's model, where it was asked for."""
    if not asked.lleaves:
        return None
    import numpy as np

    other.save_model(folder / "model.txt")
    np.save(folder / "rows.npy", x[: max(_DIFFERENT, *map(int, asked.rows.split(",")))])
    return forest_peers.Lleaves(asked.lleaves, folder / "model.txt", folder / "rows.npy", folder / "lleaves.o")


def call_from_c(asked: argparse.Namespace, booster, other, x, folder: Path, library: Path | None) -> list[dict]:
    """What `forest.c` measures."""
    import neomlir
    import numpy as np
    from neomlir.codegen.zig import run

    ways = []
    both = [("", booster, "float32"), (" (LightGBM's)", other, "float64")][: 2 if asked.lleaves else 1]
    for whose, model, kind in both:
        for what, rows in (("neo, one row", 1), ("neo", None)):
            file = folder / f"{len(ways)}.neo"
            neomlir.compile(model, inputs=(((rows, asked.features), kind),), output=file)
            ways.append(("neo", what + whose, file))
    if library:
        ways.append(("tl2cgen", "tl2cgen", library))
    if asked.lleaves:
        run("cc", "-shared", str(folder / "lleaves.o"), "-o", str(folder / "lleaves.so"))
        ways.append(("lleaves", "lleaves", folder / "lleaves.so"))
    return forest_peers.from_c(folder, np.ascontiguousarray(x[:_DIFFERENT]), ways, asked.runs)


def scale(asked: argparse.Namespace, booster, x) -> dict:
    """Neo on one thread and on several: best times, since whoever else uses the machine takes from several first."""
    import neomlir
    import numpy as np
    from neomlir import timing

    timing.pin(asked.scaling)
    results = []
    for count in map(int, asked.rows.split(",")):
        inputs = ((count if count < 24 else None, asked.features),)
        models = {n: neomlir.compile(booster, inputs=inputs, threads=n) for n in (1, asked.scaling)}
        rows = np.ascontiguousarray(x[:count])
        samples: dict[int, list[float]] = {n: [] for n in models}
        for _ in range(max(asked.runs, 50) * 4):
            for n, model in models.items():
                began = time.perf_counter()
                model(rows)
                samples[n].append(time.perf_counter() - began)
        best = {n: min(times) for n, times in samples.items()}
        medians = {n: float(np.median(times)) for n, times in samples.items()}
        results.append({"rows": count, "best": best, "median": medians})
        several, ratio = best[asked.scaling] * 1e6, [t[1] / t[asked.scaling] for t in (best, medians)]
        print(
            f"{count} row(s): 1 thread {best[1] * 1e6:.1f} us, {asked.scaling} threads {several:.1f} us: "
            f"x{ratio[0]:.2f} (medians x{ratio[1]:.2f})"
        )
    return {"scaling": results}


def different(x, count: int, calls: int) -> list:
    """Rows for so many calls, different ones for single rows."""
    import numpy as np

    if count > 1:
        return [np.ascontiguousarray(x[:count])] * calls
    return [np.ascontiguousarray(x[i : i + 1]) for i in range(_DIFFERENT)] if calls > 1 else [x[:1]]


def repeat(call, rows: list) -> None:
    """Call on the next `_BURST` of many rows, or on each of few."""
    if len(rows) <= _BURST:
        for r in rows:
            call(r)
        return
    first = next(_TURN) * _BURST % len(rows)
    for r in rows[first : first + _BURST]:
        call(r)


_TURN = itertools.count()


def show(results: list[dict], built: dict, from_c: list[dict], asked: argparse.Namespace) -> None:
    """The medians, and how many times as long as Neo each takes."""
    size = f"{asked.trees} trees of depth {asked.depth}, {asked.features} features, {asked.threads} thread(s)"
    print(f"{size}; built in " + ", ".join(f"{name} {seconds:.1f} s" for name, seconds in built.items()))
    for result in results:
        times = result["times"]
        mine = times.get("neo, one row", times["neo"])["median"]
        print(f"{result['rows']} row(s); differences: {result['largest difference']}")
        for name, timed in times.items():
            low, ratio = timed["low"] * 1e6, timed["median"] / mine
            print(f"  {name:26} {timed['median'] * 1e6:10.1f} us (10th percentile {low:.1f}) x{ratio:.2f}")
    for call in dict.fromkeys(line["call"] for line in from_c):
        lines = [line for line in from_c if line["call"] == call]
        print(f"from C, {call}")
        for line in lines:
            best, ratio = line["best"] / 1e3, line["median"] / lines[0]["median"]
            print(f"  {line['name']:26} {line['median'] / 1e3:10.2f} us (best {best:.2f}) x{ratio:.2f}")


if __name__ == "__main__":
    sys.exit(main())
