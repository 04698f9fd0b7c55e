"""Mutated model files of trees: an ImportFailure, or a model; no crash, no other error, and memory within bounds."""

import json
import random
import re
import tracemalloc

import numpy as np
import onnx
import pytest
import test_frontends_onnx_ml as onnx_ml
from neomlir.dialects import context
from neomlir.errors import ImportFailure
from neomlir.frontends import import_model

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")

ABSURD = (-1, 0, 1, 3, 99, 2**31 - 1, 2**31, 2**40, 2**63, -(2**70), 10**400, 1e300, -0.5, float("nan"), float("inf"),
          None, True, "", "x", "1e999", [], [1], {}, [[0] * 3])  # fmt: skip
MOST_BYTES = 1 << 27


def outcome(source):
    """The message of the refusal; None where a model came out. Whatever else is raised, and too much memory, fails."""
    within = context()
    tracemalloc.start()
    try:
        import_model(source, None, within)
    except ImportFailure as error:
        return str(error)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < MOST_BYTES, f"{peak >> 20} MB"
    return None


def write(folder, name, data):
    path = folder / name
    path.write_bytes(data)
    return path


def flipped(data, rng):
    """Bytes changed, cut out, doubled, or the end cut off."""
    data = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 8])):
        at = rng.randrange(len(data))
        match rng.randrange(5):
            case 0:
                data[at] = rng.randrange(256)
            case 1:
                data[at] ^= 1 << rng.randrange(8)
            case 2:
                del data[at : at + rng.randrange(1, 9)]
            case 3:
                data[at:at] = data[at : at + rng.randrange(1, 9)]
            case 4 if len(data) > 50:
                del data[rng.randrange(len(data) // 2, len(data)) :]
    return bytes(data)


def places(value, path=()):
    """Every place in a document."""
    yield path
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield from places(child, (*path, key))


def changed(document, rng):
    """The document with an absurd value at one place, or without it."""
    *path, last = rng.choice([p for p in places(document) if p])
    at = document
    for key in path:
        at = at[key]
    if rng.random() < 0.15:
        del at[last]
    else:
        at[last] = rng.choice(ABSURD)
    return document


@pytest.fixture(scope="module")
def xgboost_model():
    package = pytest.importorskip("xgboost")
    rng = np.random.default_rng(0)
    x = rng.standard_normal((200, 4))
    x[:, 0] = rng.integers(0, 5, 200)
    matrix = package.DMatrix(x, x @ [1, 2, 3, 4], feature_types=["c", "q", "q", "q"], enable_categorical=True)
    return package.train({"max_depth": 3, "booster": "dart", "nthread": 1}, matrix, 3)


@pytest.mark.parametrize("kind", ["json", "ubj"])
def test_bytes_of_xgboost(kind, xgboost_model, tmp_path):
    data, rng = bytes(xgboost_model.save_raw(kind)), random.Random(1)
    refused = sum(outcome(write(tmp_path, f"m.{kind}", flipped(data, rng))) is not None for _ in range(80))
    assert refused > 10


def test_values_of_xgboost(xgboost_model, tmp_path):
    text, rng = bytes(xgboost_model.save_raw("json")), random.Random(2)
    refused = 0
    for _ in range(150):
        data = json.dumps(changed(json.loads(text), rng)).encode()
        refused += outcome(write(tmp_path, "m.json", data)) is not None
    assert refused > 25


def test_nodes_of_xgboost_are_named(xgboost_model, tmp_path):
    rng = random.Random(3)
    model = json.loads(bytes(xgboost_model.save_raw("json")))
    for _ in range(40):
        document = json.loads(json.dumps(model))
        number = rng.randrange(3)
        tree = document["learner"]["gradient_booster"]["gbtree"]["model"]["trees"][number]
        inner = rng.choice([i for i, c in enumerate(tree["left_children"]) if c >= 0])
        what = rng.choice(["left_children", "right_children", "split_indices", "split_conditions"])
        if what == "split_conditions":
            inner = next(i for i, c in enumerate(tree["left_children"]) if c >= 0 and not tree["split_type"][i])
        tree[what][inner] = float("nan") if what == "split_conditions" else rng.choice([-7, 1 << 30, 9999])
        message = outcome(write(tmp_path, "m.json", json.dumps(document).encode()))
        assert message and re.search(rf"tree {number}, node {inner}\b", message), message


@pytest.fixture(scope="module")
def lightgbm_text():
    package = pytest.importorskip("lightgbm")
    rng = np.random.default_rng(0)
    x = rng.standard_normal((300, 4))
    x[:, 0] = rng.integers(0, 9, 300)
    settings = {"num_leaves": 6, "verbose": -1, "num_threads": 1, "min_data_per_group": 2}
    made = package.Dataset(x, x @ [1, 2, 3, 4], categorical_feature=[0])
    return package.train(settings, made, 3).model_to_string()


def test_bytes_of_lightgbm(lightgbm_text, tmp_path):
    # What follows the trees is not read.
    rng, end = random.Random(4), lightgbm_text.index("end of trees")
    for _ in range(120):
        data = flipped(lightgbm_text[:end].encode(), rng) + lightgbm_text[end:].encode()
        if data[:4] == b"tree":
            outcome(write(tmp_path, "m.txt", data))


def test_numbers_of_lightgbm(lightgbm_text, tmp_path):
    rng, refused = random.Random(5), 0
    spots = [m.span() for m in re.finditer(r"(?<=[= ])-?\d[^\s]*", lightgbm_text[: lightgbm_text.index("end of")])]
    for _ in range(150):
        begin, end = rng.choice(spots)
        text = lightgbm_text[:begin] + str(rng.choice(ABSURD)) + lightgbm_text[end:]
        refused += outcome(write(tmp_path, "m.txt", text.encode())) is not None
    assert refused > 25


@pytest.mark.parametrize("kind", ["TreeEnsembleRegressor", "TreeEnsembleClassifier"])
def test_onnx(kind):
    rng, refused = random.Random(6), 0
    node = onnx_ml.trees(kind, 2, outputs=3, count=3, depth=3)
    names = ("label", "scores") if kind.endswith("Classifier") else ("scores",)
    data = onnx_ml.model(node, outputs=names)
    for number in range(100):
        if number % 2:
            refused += outcome(flipped(data, rng)) is not None
            continue
        made = onnx.load_from_string(data)
        attribute = rng.choice([a for a in made.graph.node[0].attribute if a.ints or a.floats or a.type == 2])
        if attribute.ints:
            attribute.ints[rng.randrange(len(attribute.ints))] = rng.choice([-1, 0, 99, 2**31, 2**62, -(2**62)])
        elif attribute.floats:
            attribute.floats[rng.randrange(len(attribute.floats))] = rng.choice([float("nan"), float("inf"), 1e30])
        else:
            attribute.i = rng.choice([-1, 0, 2**31, 2**62])
        refused += outcome(made.SerializeToString()) is not None
    assert refused > 15
