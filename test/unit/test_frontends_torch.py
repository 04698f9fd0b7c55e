"""PyTorch models at the input and linalg levels: right results, weights beside the program, state made explicit."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from execute import run  # noqa: E402
from neomlir.errors import ImportFailure  # noqa: E402
from neomlir.frontends import import_model  # noqa: E402

nn = torch.nn


def lowered(model, inputs):
    imported = import_model(model, inputs)
    imported.lower()
    return imported


def agree(model, *inputs, spec=None):
    """The imported program gives what the module gives; the import is returned."""
    imported = lowered(model, spec or inputs)
    with torch.no_grad():
        expected = model.eval()(*inputs)
    expected = list(expected) if isinstance(expected, tuple) else [expected]
    outputs = run(imported.module, [tensor.numpy() for tensor in inputs], imported.weights)
    for got, wanted in zip(outputs, expected, strict=True):
        np.testing.assert_allclose(got, wanted.numpy(), rtol=2e-5, atol=2e-6)
    return imported


def statistics(model):
    for layer in model.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            nn.init.normal_(layer.running_mean)
            nn.init.uniform_(layer.running_var, 0.5, 2.0)
            if layer.affine:
                nn.init.normal_(layer.weight)
                nn.init.normal_(layer.bias)
    return model.eval()


def test_weights_are_globals_and_views():
    model = nn.Sequential(nn.Linear(20, 30), nn.ReLU())
    imported = agree(model, torch.randn(2, 20))
    assert set(imported.weights) == {"0.weight", "0.bias"}
    assert np.shares_memory(imported.weights["0.weight"], model[0].weight.detach().numpy())
    assert 'ml_program.global private @"0.weight"' in str(imported.module)
    assert "dense<[" not in str(imported.module)


@pytest.mark.parametrize("groups", [1, 2])
def test_batch_norm_folds_into_convolutions(groups):
    model = nn.Sequential(nn.Conv2d(4, 6, 3, groups=groups), nn.BatchNorm2d(6), nn.ReLU())
    imported = agree(statistics(model), torch.randn(1, 4, 6, 6))
    assert set(imported.weights) == {"0.weight", "1.bias"}
    assert "sqrt" not in str(imported.module)


def test_batch_norm_folds_into_transposed_convolutions():
    model = nn.Sequential(nn.ConvTranspose2d(4, 6, 2, 2, bias=False), nn.BatchNorm2d(6))
    assert "sqrt" not in str(agree(statistics(model), torch.randn(1, 4, 3, 3)).module)


@pytest.mark.parametrize("norm,shape", [(nn.BatchNorm2d(6), (2, 6, 3, 3)), (nn.BatchNorm1d(6), (4, 6))])
def test_batch_norm_alone_is_a_scale_and_a_shift(norm, shape):
    assert "sqrt" not in str(agree(statistics(norm), torch.randn(shape)).module)


def test_batch_norm_without_parameters_leaves_no_assertion():
    assert "cf.assert" not in str(agree(statistics(nn.BatchNorm2d(6, affine=False)), torch.randn(2, 6, 3, 3)).module)


def test_a_convolution_used_twice_is_not_folded():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.one, self.two = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.BatchNorm2d(4)

        def forward(self, x):
            y = self.conv(x)
            return self.one(y), self.two(self.conv(y[:, :3]))

    agree(statistics(Twice()), torch.randn(1, 3, 4, 4))


def test_the_module_is_left_as_it_was():
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Dropout())
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    import_model(model, (torch.randn(1, 3, 4, 4),))
    assert model.training and model[2].training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_tied_weights_are_one():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Embedding(50, 8)
            self.head = nn.Linear(8, 50, bias=False)
            self.head.weight = self.table.weight

        def forward(self, tokens):
            return self.head(self.table(tokens))

    assert len(agree(Tied(), torch.tensor([[3, 4]])).weights) == 1


def test_buffers_that_are_not_saved():
    class Buffers(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("table", torch.arange(32.0), persistent=False)

        def forward(self, x):
            return x + self.table

    assert set(agree(Buffers(), torch.randn(2, 32)).weights) == {"table"}


class Cache(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("cache", torch.arange(48.0).reshape(1, 2, 6, 4))

    def forward(self, x, position):
        self.cache[:, :, position] = x
        return self.cache.sum(-1)


@pytest.mark.parametrize("positions", [[4], [5, 0, 5], [-1]])
def test_mutated_buffers_are_inputs_and_outputs(positions):
    x, at = torch.randn(1, 2, len(positions), 4), torch.tensor(positions)
    imported = lowered(Cache(), (x, at))
    assert [spec.name for spec in imported.inputs] == ["x", "position", "cache"]
    assert [spec.name for spec in imported.outputs] == ["output", "cache"]
    first = imported.state["cache"].copy()
    output, cache = run(imported.module, [x.numpy(), at.numpy(), first], imported.weights)
    model = Cache()
    np.testing.assert_allclose(output, model(x, at).numpy(), rtol=1e-6)
    np.testing.assert_array_equal(cache, model.cache.numpy())


class Masked(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(50, 8)

    def forward(self, tokens, mask):
        return {"hidden": self.table(tokens) * mask.unsqueeze(-1), "sum": mask.sum(-1)}


def test_names_shapes_and_dtypes_without_examples():
    imported = lowered(Masked(), {"tokens": ((1, 7), "int64"), "mask": (1, 7)})
    assert imported.inputs == [("tokens", "int64", (1, 7)), ("mask", "float32", (1, 7))]
    assert [spec.name for spec in imported.outputs] == ["hidden", "sum"]


def test_dynamic_extents():
    imported = lowered(Masked(), {"tokens": ((None, None), "int64"), "mask": (None, None)})
    assert imported.inputs[0].shape == (None, None)
    tokens, mask = np.array([[1, 2, 3]]), np.ones((1, 3), np.float32)
    hidden, total = run(imported.module, [tokens, mask], imported.weights)
    assert hidden.shape == (1, 3, 8) and total == [3.0]


def test_exported_programs_keep_their_symbols():
    model = nn.Linear(20, 3)
    batch = torch.export.Dim("batch")
    program = torch.export.export(model, (torch.randn(4, 20),), dynamic_shapes=({0: batch},))
    assert lowered(program, None).inputs[0].shape == (None, 20)
    with pytest.raises(ImportFailure, match="exported"):
        import_model(program, ((1, 20),))


@pytest.mark.parametrize("dtype", [torch.float64, torch.int64, torch.bool])
def test_element_types(dtype):
    class Pick(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("table", (torch.arange(40) % 3).to(dtype))

        def forward(self, x):
            return x.to(torch.float64) + self.table.to(torch.float64), self.table[:20]

    agree(Pick(), torch.randn(40))


def test_constant_indices_keep_their_numbers_in_the_ir():
    """A kernel is compiled by itself, so its constants cannot be resources of the module."""

    class Pick(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("order", torch.tensor([2, 0, 1]))
            self.register_buffer("keep", torch.tensor([True, False, True]))

        def forward(self, x):
            grid = x[:, torch.tensor([[2, 0, 1], [1, 1, 0]]), torch.tensor([[2, 4, 1], [1, 3, 0]])]
            return x[:, self.order], grid, x.as_strided((2, 5), (9, 1)), torch.where(self.keep[:, None], x, 0.0)

    assert "dense_resource" not in str(agree(Pick(), torch.randn(2, 3, 5)).module)


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("shape", [(2, 6, 7), (1, 6, 3, 4)])
def test_group_norm_is_no_gather(shape, affine):
    norm = nn.GroupNorm(3, 6, affine=affine)
    if affine:
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    assert "tensor.extract" not in str(agree(norm, torch.randn(shape)).module)


def test_group_norm_of_any_batch_and_length():
    auto = torch.export.Dim.AUTO
    norm, x = nn.GroupNorm(2, 6), torch.randn(2, 6, 7)
    program = torch.export.export(norm, (x,), dynamic_shapes=({0: auto, 2: auto},))
    imported = import_model(program)
    imported.lower()
    other = torch.randn(3, 6, 5)
    (got,) = run(imported.module, [other.numpy()], imported.weights)
    np.testing.assert_allclose(got, norm(other).detach().numpy(), rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("sequence_first", [False, True])
def test_views_behind_attention_of_a_batch(sequence_first):
    """Views hold where the result lies in memory as the query does: behind heads of a batch, and in PyTorch's layer."""

    class Heads(nn.Module):
        def forward(self, x):
            q, k, v = x.view(3, 5, 3, 4, 8).permute(2, 0, 3, 1, 4).unbind(0)
            mixed = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            return mixed.transpose(1, 2).reshape(3, 5, 32).contiguous().view(-1, 32)

    if sequence_first:
        agree(nn.TransformerEncoderLayer(32, 4, 48), torch.randn(5, 3, 32))
    else:
        agree(Heads(), torch.randn(3, 5, 96))


@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_gelu(approximate):
    agree(nn.GELU(approximate), torch.linspace(-6, 6, 601))


def test_scans_and_scatters():
    class Scatter(nn.Module):
        def forward(self, x, rows, columns, updates):
            return x.cumsum(1), x.index_put((rows, columns), updates)

    agree(Scatter(), torch.randn(4, 5), torch.tensor([1, 2, 1]), torch.tensor([0, 4, 0]), torch.randn(3))


@pytest.mark.parametrize(("shape", "dim"), [((2, 64, 3), 1), ((77,), 0), ((3, 100), -1), ((33, 4), 0)])
def test_long_sums(shape, dim):
    class Sum(nn.Module):
        def forward(self, x, n):
            return x.cumsum(dim), n.cumsum(dim)

    agree(Sum(), torch.randn(shape), torch.randint(-9, 9, shape))


@pytest.mark.parametrize(
    ("sort", "shape"),
    [
        (lambda x: x.topk(3), (4, 20)),
        (lambda x: x.topk(2, 0, largest=False), (9, 5)),
        (lambda x: torch.sort(x, stable=True, dim=1, descending=True), (3, 20, 4)),
        (lambda x: (x.sort(0)[0], x.argsort()), (7, 6)),
        (lambda x: x.topk(1), ()),
        (lambda x: x.topk(5), (4, 50)),
        (lambda x: x.topk(3, 0, largest=False), (40, 5)),
    ],
)
def test_sorting(sort, shape):
    class Sort(nn.Module):
        def forward(self, x):
            return sort(x)

    x = torch.randperm(max(1, torch.Size(shape).numel())).float().reshape(shape)
    agree(Sort(), x)
    if x.numel() > 2:
        x.view(-1)[:3] = torch.tensor([torch.inf, torch.nan, -torch.inf])
        agree(Sort(), x)


def test_equal_elements_keep_their_order():
    class Sort(nn.Module):
        def forward(self, x):
            return torch.sort(x, stable=True)

    agree(Sort(), torch.randint(0, 3, (4, 30)).float())
    agree(Sort(), torch.randint(0, 3, (30,)))
    agree(Sort(), torch.randint(0, 2, (30,)).bool())


@pytest.mark.parametrize("kind", [torch.float32, torch.int64, torch.uint8, torch.bool])
@pytest.mark.parametrize("largest", [True, False])
def test_the_few_first_of_many(kind, largest):
    """One taken after the other they are those of a sort, equal ones, NaN and infinities in its order."""
    from neomlir.frontends.torch_topk import _taken

    x = torch.randint(0, 9, (20, 30)).float()
    if kind.is_floating_point:
        for number in (torch.nan, torch.inf, -torch.inf):
            x = x.masked_fill(torch.rand(20, 30) < 0.2, number)
    for k, d in ((1, 0), (5, 1), (20, 0)):
        wanted = torch.sort(x.to(kind), dim=d, descending=largest, stable=True)[1].narrow(d, 0, k)
        assert torch.equal(_taken(x.to(kind), k, d, largest), wanted)


@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.float16, torch.int64, torch.int16, torch.uint8])
def test_sorts_of_long_rows(kind):
    """Those that are sorted by their bytes: numbers of both signs, equal ones, zeros of both, NaN and infinities."""

    class Sort(nn.Module):
        def forward(self, x):
            down = x.sort(dim=1, descending=True, stable=True)
            found = (*x.sort(dim=0, stable=True), *down, x.topk(20, 0)[0], x.topk(9, 0, largest=False)[0])
            return tuple(each.int() if kind == torch.uint8 else each for each in found)

    x = torch.randn(200, 130) * 50
    if kind.is_floating_point:
        for number in (torch.nan, torch.inf, -torch.inf, 0.0, -0.0):
            x = x.masked_fill(torch.rand(x.shape) < 0.05, number)
    agree(Sort(), (x.abs() if kind == torch.uint8 else x * 1e15 if kind == torch.int64 else x).to(kind))


@pytest.mark.parametrize("dim", [0, 1, -1])
def test_scatters_along_a_dimension(dim):
    """Into a part of the dimensions, at equal places too; where several are set the last one stays, as in a loop."""

    class Scatter(nn.Module):
        def forward(self, x, index, updates):
            sums = (
                x.scatter_add(dim, index, updates),
                x.scatter(dim, index.argsort(dim) % 6, updates),
                x.scatter(dim, index, 7),
            )
            kinds = ("amax", "amin", "prod", "mean", "sum")
            return *sums, *(x.scatter_reduce(dim, index, updates, kind, include_self=kind != "amin") for kind in kinds)

    agree(Scatter(), torch.randn(6, 7, 8), torch.randint(0, 5, (5, 6, 7)), torch.randn(6, 6, 7))
    # Into whole other dimensions.
    shape = [9 if d == dim % 3 else n for d, n in enumerate((6, 7, 8))]
    agree(Scatter(), torch.randn(6, 7, 8), torch.randint(0, 5, shape), torch.randn(shape))


def test_messages_between_nodes():
    """A layer of a graph network: rows are gathered, weighed, and added where they are sent."""

    class Messages(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(16, 24)

        def forward(self, x, source, target, weight):
            sent = self.layer(x)[source] * weight[:, None]
            return torch.relu(torch.zeros(50, 24).index_add(0, target, sent))

    edges = torch.randint(0, 50, (2, 400))
    agree(Messages(), torch.randn(50, 16), *edges, torch.rand(400))


def test_many_rows_are_written_at_once():
    class Write(nn.Module):
        def forward(self, x, index, rows):
            return x.index_put((index,), rows), torch.index_copy(x, 0, index, rows)

    agree(Write(), torch.randn(300, 7), torch.randperm(300)[:100], torch.randn(100, 7))


def test_all_operators_without_a_lowering_are_listed():
    class Many(nn.Module):
        def forward(self, x):
            return torch.cummin(x, 0)[0], torch.cummax(x, -1)[0], torch.relu(x), torch.cummax(x, 0)[0]

    with pytest.raises(ImportFailure) as caught:
        lowered(Many(), (torch.randn(3, 4),))
    text = str(caught.value)
    assert text.startswith("2 operators of Many have no lowering")
    assert "aten.cummin  1 node" in text and "aten.cummax  2 nodes" in text and "relu" not in text
    assert "test_frontends_torch.py:" in text and "docs/frontends/torch.md" in text


@pytest.mark.parametrize("inputs", [None, (), ((1, 5),), (torch.zeros(1, 5),), {"nothing": (1, 20)}, ((2**30, 2**30),)])
def test_inputs_that_do_not_fit(inputs):
    with pytest.raises(ImportFailure):
        import_model(nn.Linear(20, 3), inputs)


def test_models_without_tensors_as_results():
    class Nothing(nn.Module):
        def forward(self, x):
            return None

    with pytest.raises(ImportFailure, match="returns no tensor"):
        import_model(Nothing(), (torch.zeros(1),))


@pytest.mark.parametrize(
    "view",
    [
        lambda x: x.reshape(x.shape[0] * x.shape[1], 6),
        lambda x: x.reshape(x.shape[0], x.shape[1], 2, 3),
        lambda x: x.reshape(-1, 2, 3).transpose(0, 1).reshape(2, -1),
        lambda x: x.reshape(x.shape[0], 1, x.shape[1], 6).expand(-1, 2, -1, -1).reshape(-1, x.shape[1], 6),
        lambda x: x.reshape(-1),
    ],
)
def test_views_of_several_dynamic_dimensions(view):
    class Viewed(nn.Module):
        def forward(self, x):
            return view(x * 2)

    auto = torch.export.Dim.AUTO
    program = torch.export.export(Viewed(), (torch.zeros(3, 4, 6),), dynamic_shapes=({0: auto, 1: auto},))
    imported = lowered(program, None)
    for shape in ((3, 4, 6), (2, 7, 6)):
        x = torch.randn(shape)
        (got,) = run(imported.module, [x.numpy()], imported.weights)
        np.testing.assert_array_equal(got, view(x * 2).numpy())
