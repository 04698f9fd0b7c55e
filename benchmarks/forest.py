"""Decision trees on Neo beside XGBoost, LightGBM, ONNX Runtime and tl2cgen: interleaved, medians.

    python benchmarks/forest.py [--trees 500] [--depth 6] [--features 50] [--rows 1,1000,10000] [--threads N]
                                [--runs N] [--against PEERS] [--json FILE]

One model is trained by XGBoost and run by Neo, XGBoost (`inplace_predict`), ONNX Runtime (`TreeEnsembleRegressor`)
and, where
it is installed and asked for, tl2cgen (its C code takes a minute or more to build). LightGBM trains one of the same
size of its
own, and Neo runs that too. Rows are float32, all calls are made from Python on rows that lie in memory; `one row` is a
program for one row and one for any number.
"""

import argparse
import dataclasses
import functools
import json
import sys
import tempfile
import time
from pathlib import Path

_BURST = 50
PEERS = ("xgboost", "lightgbm", "onnxruntime")


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


def peers(booster, other, features: int, threads: int, wanted: list[str], folder: Path) -> dict:
    """name → a function of rows; and the seconds it took to build."""
    found, seconds = {}, {}
    if "xgboost" in wanted:
        booster.set_param({"nthread": threads})
        found["xgboost"] = booster.inplace_predict
    if "lightgbm" in wanted:
        found["lightgbm"] = lambda x: other.predict(x, num_threads=threads)
    if "onnxruntime" in wanted:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        session = onnxruntime.InferenceSession(onnx_model(booster, features), options)
        found["onnxruntime"] = lambda x: session.run(None, {"x": x})[0]
    if "tl2cgen" in wanted:
        import tl2cgen
        import treelite

        began = time.perf_counter()
        booster.save_model(folder / "model.json")
        model = treelite.frontend.load_xgboost_model(str(folder / "model.json"))
        settings = {"parallel_comp": 8}
        tl2cgen.export_lib(model, toolchain="gcc", libpath=folder / "trees.so", params=settings, nthread=threads)
        predictor = tl2cgen.Predictor(str(folder / "trees.so"), nthread=threads)
        seconds["tl2cgen"] = time.perf_counter() - began
        found["tl2cgen"] = lambda x: predictor.predict(tl2cgen.DMatrix(x))
    return found, seconds


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
    add("--json", metavar="FILE")
    asked = parser.parse_args(argv)

    import neomlir
    import numpy as np
    from neomlir import timing

    booster, other, x = train(asked.trees, asked.depth, asked.features)
    began = time.perf_counter()
    models = {"neo": neomlir.compile(booster, cache=False, threads=asked.threads)}
    built = {"neo": time.perf_counter() - began}
    models["neo, one row"] = neomlir.compile(booster, inputs=((1, asked.features),))
    asked_float = (((None, asked.features), "float32"),)
    models["neo (LightGBM's)"] = neomlir.compile(other, inputs=asked_float, threads=asked.threads)
    timing.pin(asked.threads)
    results = []
    with tempfile.TemporaryDirectory() as folder:
        others, seconds = peers(booster, other, asked.features, asked.threads, asked.against.split(","), Path(folder))
        built |= seconds
        for count in map(int, asked.rows.split(",")):
            rows = np.ascontiguousarray(x[:count])
            calls = {name: functools.partial(f, rows) for name, f in {**models, **others}.items()}
            if count != 1:
                del calls["neo, one row"]
            outputs = {name: np.asarray(call()).reshape(-1) for name, call in calls.items()}
            wanted = {"neo (LightGBM's)": "lightgbm"}
            errors = {
                name: float(np.abs(outputs[name] - outputs[wanted.get(name, "xgboost")]).max())
                for name in outputs
                if name.startswith("neo") and wanted.get(name, "xgboost") in outputs
            }
            runs = max(7, asked.runs * 20 // max(count, 20))
            # Calls on few rows come in bursts, as they do where one model is served.
            burst = max(1, _BURST // count)
            times = timing.interleave(
                {name: functools.partial(repeat, call, burst) for name, call in calls.items()}, runs
            )
            times = {
                name: timing.Timing(t.median / burst, t.low / burst, t.high / burst, runs) for name, t in times.items()
            }
            results.append(
                {
                    "rows": count,
                    "times": {name: dataclasses.asdict(t) for name, t in times.items()},
                    "largest difference": errors,
                }
            )
    show(results, built, asked)
    if asked.json:
        Path(asked.json).write_text(json.dumps({"settings": vars(asked), "built": built, "results": results}, indent=2))
    return 0


def repeat(call, times: int) -> None:
    """Call so many times."""
    for _ in range(times):
        call()


def show(results: list[dict], built: dict, asked: argparse.Namespace) -> None:
    """The medians, and how many times as long as Neo each takes."""
    size = f"{asked.trees} trees of depth {asked.depth}, {asked.features} features, {asked.threads} thread(s)"
    print(f"{size}; built in " + ", ".join(f"{name} {seconds:.1f} s" for name, seconds in built.items()))
    for result in results:
        times = result["times"]
        mine = times.get("neo, one row", times["neo"])["median"]
        print(f"{result['rows']} row(s); differences: {result['largest difference']}")
        for name, timed in times.items():
            low, ratio = timed["low"] * 1e6, timed["median"] / mine
            print(f"  {name:18} {timed['median'] * 1e6:10.1f} us (10th percentile {low:.1f}) x{ratio:.2f}")


if __name__ == "__main__":
    sys.exit(main())
