"""Contractions in the tile registers of x86 (AMX) give what plain loops give, on machines without them as well."""

from dataclasses import replace

import emulate
import narrow
import pytest
import test_dot_products as products
from neomlir import targets
from neomlir.targets import Target
from test_scalable import agree, program

TILES = ("+amx-tile", "+amx-bf16", "+amx-fp16", "+amx-int8")
KINDS = [("bf16", "bf16"), ("f16", "f16"), ("s8", "s8"), ("s8", "u8"), ("u8", "s8"), ("u8", "u8")]


@pytest.fixture
def target(monkeypatch):
    """The name of a processor with tiles and otherwise what many have: real ones have more, which this one may lack.

    There is another with a small cache, whose name ends in `-small`, and `dots` with dot products of vectors instead.
    """
    base = replace(Target.named("x86-64-v4"), name="tiles", aliases=(), features=TILES)
    small = replace(base, name="tiles-small", cache=replace(base.cache, l2=1 << 16))
    dots = replace(base, name="dots", features=("+avx512bf16",))
    emulate.emulator(base)
    known = targets._all()
    monkeypatch.setattr(targets, "_all", lambda: (*known, base, small, dots))
    return base.name


def test_products_and_convolutions(target, monkeypatch, tmp_path):
    """Odd numbers of rows and columns, one row, rows that fit a tile, strides, rows that nobody knows."""
    found = []
    monkeypatch.setattr(products, "check", narrow.collector(found))
    for kinds in KINDS:
        group = products.group_of(target, kinds)
        for m, n, groups in ((1, 40, 16), (49, 33, 6), (64, 96, 40), (5, 16, 1), (75, 160, 9)):
            products.product(target, kinds, m, n, groups * group, 16 if n <= 16 else 32)
        products.convolution(target, kinds, 9, 1, 2 * group, 24, 32)
        products.convolution(target, kinds, 24, 2, group, 40, 32)
        products.dynamic_rows(target, kinds, 70, 32)
        products.batched(target, kinds, 32)
    program(tmp_path, found, Target.named(target))
    agree(found, tmp_path, Target.named(target))


def test_a_quantised_model(target, tmp_path):
    pytest.importorskip("onnxruntime")
    source, x, written = narrow.quantised()
    narrow.agrees(source, [x], written, tmp_path, 1e-2, {"matrix_tiles": 3}, target)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_a_model_in_16_bits(target, precision, tmp_path):
    pytest.importorskip("torch")
    module, x, wanted = narrow.layers()
    options = {"inputs": [x], "precision": precision}
    taken = {"matrix_tiles": 4}
    narrow.agrees(module, [x.numpy()], [wanted], tmp_path, narrow.TOLERANCE[precision], taken, target, **options)


@pytest.mark.parametrize("unit", ["tiles", "dots"])
@pytest.mark.parametrize("batch", [1, 3])
def test_a_recurrent_layer_in_16_bits(target, unit, batch, tmp_path):
    emulate.emulator(Target.named(unit))
    pytest.importorskip("torch")
    module, x, wanted = narrow.recurrent(batch)
    options = {"inputs": [x], "precision": "bf16"}
    taken = {"recurrence": 1}
    narrow.agrees(module, [x.numpy()], [wanted], tmp_path, narrow.TOLERANCE["bf16"], taken, unit, **options)


@pytest.mark.parametrize(
    ("precision", "tokens", "keys", "masked", "own"),
    [
        ("bf16", 19, 19, True, 3),
        ("fp16", 64, 64, False, 3),
        ("bf16", 45, 578, False, 1),
        ("bf16", 150, 1500, False, 3),
    ],
)
def test_attention(target, precision, tokens, keys, masked, own, tmp_path):
    """One kernel: of an odd number of tokens, of keys that make no equal steps, and of more scores than are held."""
    pytest.importorskip("torch")
    module, inputs, wanted = narrow.heads(tokens, keys, masked, own)
    options = {"inputs": inputs, "precision": precision}
    arrays, taken = [x.numpy() for x in inputs], {"attention": 1, "matrix_tiles": 0}
    narrow.agrees(module, arrays, [wanted], tmp_path, narrow.TOLERANCE[precision], taken, target, **options)


def test_attention_of_fewer_rows_than_a_tile_has(target, tmp_path):
    """So many keys that the scores of a full register tile do not fit the cache."""
    pytest.importorskip("torch")
    module, inputs, wanted = narrow.heads(58, 242)
    options = {"inputs": inputs, "precision": "bf16"}
    arrays, taken = [x.numpy() for x in inputs], {"attention": 1, "matrix_tiles": 0}
    narrow.agrees(module, arrays, [wanted], tmp_path, narrow.TOLERANCE["bf16"], taken, f"{target}-small", **options)
