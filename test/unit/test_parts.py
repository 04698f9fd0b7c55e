"""Slices and concatenations that lie from end to end: views of the larger tensor, not copies."""

import re

import neomlir
import numpy as np
import pytest

torch = pytest.importorskip("torch")


def draw(*shape: int):
    return torch.randn(shape, generator=torch.Generator().manual_seed(len(shape)))


def check(module, *inputs, kernels: int):
    """Results as PyTorch's, and so many calls of kernels, not counting those of `@initialize`."""
    module = module.eval()
    text = neomlir.compile(module, inputs=inputs, tuned=False, stop_at="kernels")
    main = text[text.index("func.func @main") :]
    assert len(re.findall(r"call @", main[: main.index("return")])) == kernels
    program = neomlir.compile(module, inputs=inputs, tuned=False)
    found = list(program.run({s.name: x.numpy() for s, x in zip(program.inputs, inputs, strict=True)}).values())
    wanted = module(*inputs)
    wanted = wanted if isinstance(wanted, tuple) else (wanted,)
    for mine, theirs in zip(found, wanted, strict=True):
        np.testing.assert_allclose(mine, theirs.detach().numpy(), rtol=1e-5, atol=1e-6)


class Gates(torch.nn.Module):
    """The steps of a GRU, written out."""

    def __init__(self):
        super().__init__()
        self.inputs, self.state = torch.nn.Linear(24, 60), torch.nn.Linear(20, 60)

    def forward(self, x, h):
        outputs = []
        for a in self.inputs(x).unbind(1):
            b = self.state(h)
            (ar, az, an), (br, bz, bn) = a.chunk(3, 1), b.chunk(3, 1)
            z, n = torch.sigmoid(az + bz), torch.tanh(an + torch.sigmoid(ar + br) * bn)
            h = n + z * (h - n)
            outputs.append(h)
        return torch.stack(outputs, 1)


def test_steps_that_are_written_out_are_two_kernels():
    """The projection of all steps, and of each a product and the gates. Offsets of 20 floats are not aligned."""
    check(Gates(), draw(1, 5, 24), draw(1, 20), kernels=1 + 2 * 5)


class Recurrent(torch.nn.Module):
    def __init__(self, both: bool):
        super().__init__()
        self.gru = torch.nn.GRU(24, 20, batch_first=True, bidirectional=both)

    def forward(self, x):
        return self.gru(x)[0]


def test_a_recurrent_layer_is_a_projection_and_a_loop():
    check(Recurrent(False), draw(1, 5, 24), kernels=2)


def test_both_directions_are_one_loop():
    """Beside their two projections, and the concatenation of what they give."""
    check(Recurrent(True), draw(1, 5, 24), kernels=4)


class Chained(torch.nn.Module):
    """Results of kernels side by side, one of them read on the way, in a tensor that is a result."""

    def forward(self, x):
        a = torch.sin(x[:, 1])
        b = torch.cos(a + x[:, 3])
        return torch.stack([a, b], 1)


def test_pieces_go_straight_to_the_result():
    check(Chained(), draw(1, 4, 5), kernels=2)


class Nested(torch.nn.Module):
    """A concatenation in another, a piece that is a result itself, and an input between them."""

    def forward(self, x, y):
        a, b, c = torch.sin(x), torch.cos(x), torch.softmax(x, -1)
        inner = torch.cat([a, b])
        return torch.cat([inner, y, torch.tanh(y)]) @ x.T, c, torch.cat([c, x])


def test_pieces_that_have_no_place_of_their_own_are_copied():
    """Sine, cosine, tangent and a copy of `y` in place; `x` transposed, the product; the softmax; and the concatenation
    with a result and an input."""
    check(Nested(), draw(3, 7), draw(2, 7), kernels=8)


class Parts(torch.nn.Module):
    """Slices of inputs, weights, other slices; and slices as results."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(draw(7, 3))

    def forward(self, x):
        part = x[2:5]
        return part, part[1] @ self.weight, part[1:, 3:5] * 2, x[1:2, 1:4] + 1


def test_slices_of_slices():
    """Two copies for `part` and the product, and two of slices with gaps between their rows."""
    module = Parts().eval()
    x = draw(6, 7)
    program = neomlir.compile(module, inputs=(x,), tuned=False)
    for mine, theirs in zip(program.run({program.inputs[0].name: x.numpy()}).values(), module(x), strict=True):
        np.testing.assert_allclose(mine, theirs.detach().numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float64, torch.int64, torch.uint8, torch.bool])
def test_types(dtype):
    x = (draw(4, 9) * 3).abs().to(dtype)

    class Typed(torch.nn.Module):
        def forward(self, x):
            return torch.cat([x[3:] | x[:1], x[1:2] & x[2:3]] if dtype == torch.bool else [x[3:] + x[0], x[1:3] * x[3]])

    program = neomlir.compile(Typed().eval(), inputs=(x,), tuned=False)
    np.testing.assert_array_equal(program(x.numpy()), Typed()(x).numpy())


def test_static_parts_beside_dynamic_extents():
    class Beside(torch.nn.Module):
        def forward(self, x, y):
            return (x[:, 1] + x[:, 2]) * y, torch.cat([torch.sin(x), x * 2], 1)

    x, y = draw(1, 3, 4), draw(5, 4)
    exported = torch.export.export(Beside(), (x, y), dynamic_shapes=({}, {0: torch.export.Dim("n", min=2, max=64)}))
    program = neomlir.compile(exported, tuned=False)
    names = [s.name for s in program.inputs]
    for n in (5, 33):
        y = draw(n, 4)
        found = program.run(dict(zip(names, (x.numpy(), y.numpy()), strict=True))).values()
        for mine, theirs in zip(found, Beside()(x, y), strict=True):
            np.testing.assert_allclose(mine, theirs.numpy(), rtol=1e-5, atol=1e-6)


class Gated(torch.nn.Module):
    """Halves of a product, the norm of a part of every row, a rotation of halves."""

    def __init__(self):
        super().__init__()
        self.both, self.down = torch.nn.Linear(32, 96), torch.nn.Linear(48, 64)
        self.norm = torch.nn.LayerNorm(32)

    def forward(self, x):
        gate, up = self.both(x).chunk(2, -1)
        y = self.down(torch.nn.functional.silu(gate) * up)
        left, right = y.chunk(2, -1)
        return self.norm(right), torch.cat([-right, left], -1)


def test_slices_are_read_where_they_lie():
    """Of the results of the first product by its gate, of the second by a norm and by a concatenation that computes."""
    check(Gated(), draw(1, 9, 32), kernels=2 + 1 + 2)


class Merged(torch.nn.Module):
    """Windows that are shifted and every second point, as in Swin."""

    def forward(self, x):
        y = torch.sin(torch.roll(x, (-1, -2), (1, 2)))
        return torch.cat([y[:, i::2, j::2] for j in (0, 1) for i in (0, 1)], -1)


def test_slices_of_slices_are_read_by_a_concatenation():
    """Both rolls, the sine, and all four parts at once."""
    check(Merged(), draw(1, 6, 8, 16), kernels=4)


def test_narrow_slices_are_copied():
    """A reader of three columns at a time would use three lanes of a vector."""

    class Columns(torch.nn.Module):
        def forward(self, x):
            return torch.sigmoid(x[:, 1:4]) * 2

    check(Columns(), draw(50, 7), kernels=2)


@pytest.mark.parametrize("module", [Gated(), Merged()])
def test_kernels_that_read_slices_have_a_schedule(module):
    x = draw(1, 9, 32) if isinstance(module, Gated) else draw(1, 6, 8, 16)
    text = neomlir.compile(module.eval(), inputs=(x,), tuned=False, stop_at="vector")
    taken = set(re.findall(r'neo.schedule = "(\w+)"', text))
    assert taken and not taken & {"affine", "scalar"}
