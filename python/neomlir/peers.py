"""Other frameworks that run the same model: the reference that a compiled model is checked against and timed beside.

A peer is made from the source model and called with a dict of numpy arrays by input name; it gives a list of numpy
arrays in the order of the model's outputs. A framework is imported only when a peer of it is made.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import io
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from neomlir.errors import ImportFailure, ModelError, NeoError
from neomlir.frontends import find, frontends, source_name

Peer = Callable[[Mapping[str, np.ndarray]], list[np.ndarray]]

_PACKAGES = {
    "onnxruntime": "onnxruntime",
    "openvino": "openvino",
    "torch": "torch",
    "xgboost": "xgboost-cpu",
    "lightgbm": "lightgbm",
    "sklearn": "scikit-learn",
}
"""What pip calls each module."""
_OWN = ("xgboost", "lightgbm", "sklearn")
"""Those that run the models of the frontend of their name, and no other."""


class PeerUnavailable(NeoError):
    """A peer is not installed, or can't run this kind of model."""


def names() -> list[str]:
    """The peers that can be asked for."""
    return list(_PACKAGES)


def make(
    name: str,
    source: object,
    example: Mapping[str, np.ndarray],
    threads: int = 1,
    precision: str = "fp32",
    exact: bool = False,
) -> Peer:
    """The peer `name` on `source` with `threads` threads; `example` holds inputs of the shapes that it will be given.

    `precision` is what OpenVINO computes in (`fp32`, `bf16`, `fp16`), a hint to it; the others stay in fp32.
    `exact` has ONNX Runtime compute quantised models as they are written: on x86 without VNNI its own integer products
    add pairs in 16 bits, which saturate.

    Raises PeerUnavailable for an unknown name, a package that is not installed, or a model it can't run.
    """
    openvino = functools.partial(_openvino, precision=precision)
    onnxruntime = functools.partial(_onnxruntime, exact=exact)
    makers = {"onnxruntime": onnxruntime, "openvino": openvino, "torch": _torch}
    makers |= {own: functools.partial(_own, own) for own in _OWN}
    if name not in makers:
        raise PeerUnavailable(f"unknown peer {name!r}; choose from {', '.join(makers)}")
    try:
        importlib.import_module(name)
    except ImportError as error:
        raise PeerUnavailable(f"{name} is not installed; `pip install {_PACKAGES[name]}` adds it") from error
    own = next((other for other in _OWN if frontends()[other].reads(source)), None)
    if own != name and (own or name in _OWN):
        tells = f"; {own} can" if own else ""
        raise PeerUnavailable(f"{name} can't run {source_name(source)}{tells}")
    return makers[name](source, example, threads)


def reference(source: object, example: Mapping[str, np.ndarray]) -> Peer:
    """The source model in its own framework, as its frontend knows it. Raises ImportFailure where none reads it."""
    frontend = find(source)
    if not frontend.peer:
        return frontend.reference(source)
    return make(frontend.peer, source, example, threads=len(os.sched_getaffinity(0)), exact=True)


def is_onnx(source: object) -> bool:
    """Whether `source` is an ONNX model: a path ending in `.onnx`, bytes, or a ModelProto."""
    if isinstance(source, (str, os.PathLike)):
        return Path(source).suffix == ".onnx"
    return isinstance(source, bytes) or type(source).__name__ == "ModelProto"


def opened(source: object) -> object:
    """`source`, or the ExportedProgram of a `.pt2` path. Raises ImportFailure."""
    if not isinstance(source, (str, os.PathLike)) or Path(source).suffix != ".pt2":
        return source
    from neomlir.frontends.torch_archive import load

    return load(Path(source))


def onnx_bytes(source: object, example: Mapping[str, np.ndarray]) -> str | bytes:
    """An ONNX model as a path or bytes; a PyTorch model is exported with the shapes of `example`.

    Raises PeerUnavailable where the exporter fails.
    """
    if isinstance(source, (str, os.PathLike)) and is_onnx(source):
        return os.fspath(source)
    if is_onnx(source):
        return source if isinstance(source, bytes) else source.SerializeToString()
    import torch

    source = opened(source)
    module, tensors = torch_module(source), {name: torch.from_numpy(array) for name, array in example.items()}
    positional, keyword = torch_arguments(source, tensors)
    file = io.BytesIO()
    try:
        # The exporter prints the whole graph where it fails.
        with warnings.catch_warnings(), _no_stdout(), torch.inference_mode():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                module, positional, file, kwargs=keyword, input_names=list(example), dynamo=False, opset_version=18
            )
    except Exception as error:
        raise PeerUnavailable(
            f"PyTorch can't export this model to ONNX: {str(error).strip().splitlines()[0]}"
        ) from error
    return file.getvalue()


def torch_module(source: object):
    """The callable `torch.nn.Module` of a module in evaluation mode or an ExportedProgram."""
    import torch

    if isinstance(source, torch.export.ExportedProgram):
        return source.module()
    if isinstance(source, torch.nn.Module):
        return source.eval()
    raise ImportFailure(f"no framework is known that runs a {type(source).__name__}")


def torch_arguments(source: object, tensors: Mapping) -> tuple[tuple, dict]:
    """Positional and keyword arguments of a PyTorch model from its flat inputs by name.

    Keywords where the model's `forward` knows every name, else by position.
    """
    import inspect

    import torch
    from torch.utils import _pytree

    if isinstance(source, torch.export.ExportedProgram):
        return _pytree.tree_unflatten(list(tensors.values()), source.call_spec.in_spec)
    known = inspect.signature(source.forward).parameters
    if tensors and all(name in known for name in tensors):
        return (), dict(tensors)
    return tuple(tensors.values()), {}


@contextlib.contextmanager
def _no_stdout() -> Iterator[None]:
    """Send the process's stdout, that of its C++ parts too, nowhere for a while."""
    sys.stdout.flush()
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)


_AS_WRITTEN = ("session.disable_quant_qdq", "session.x64quantprecision")
"""What ONNX Runtime is told so that no integer product of its own saturates."""


def _onnxruntime(source, example, threads, exact) -> Peer:
    model = onnx_bytes(source, example)
    try:
        session = _session(model, threads, _AS_WRITTEN if exact else ())
    except Exception as error:
        if not exact:
            raise PeerUnavailable(f"ONNX Runtime can't load this model: {error}") from error
        # The second setting fails where operators share an initializer.
        return _onnxruntime(model, example, threads, exact=False)
    known = [value.name for value in session.get_inputs()]

    def run(inputs):
        try:
            return session.run(None, {name: inputs[name] for name in known})
        except KeyError as error:
            raise ModelError(f"ONNX Runtime's model has an input {error} that the compiled one lacks") from error
        except Exception as error:
            raise ModelError(f"ONNX Runtime can't run this model on {_shapes(inputs)}: {error}") from error

    return run


def _session(model: str | bytes, threads: int, settings: Sequence[str]):
    """An `onnxruntime.InferenceSession` on the CPU with `settings` on."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    # Idle workers would otherwise spin through the next peer's turn.
    for setting in ("session.force_spinning_stop", *settings):
        options.add_session_config_entry(setting, "1")
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _openvino(source, example, threads, precision) -> Peer:
    import openvino

    core = openvino.Core()
    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": {"fp32": "f32", "fp16": "f16"}.get(precision, precision),
    }
    data = onnx_bytes(source, example)
    model = core.read_model(data if isinstance(data, str) else io.BytesIO(data))
    model.reshape({port: example[_port_name(port, example)].shape for port in model.inputs})
    request = core.compile_model(model, "CPU", settings).create_infer_request()
    ports = list(model.inputs)

    def run(inputs):
        result = request.infer([inputs[_port_name(port, inputs)] for port in ports], share_inputs=True)
        return [np.asarray(result[index]) for index in range(len(model.outputs))]

    return run


def _port_name(port, inputs) -> str:
    return next(name for name in port.get_names() if name in inputs)


def _torch(source, example, threads) -> Peer:
    import torch
    from torch.utils import _pytree

    if is_onnx(source):
        raise PeerUnavailable("torch can't run an ONNX model")
    source = opened(source)
    module = torch_module(source)
    torch.set_num_threads(threads)

    def run(inputs):
        tensors = {name: torch.from_numpy(array) for name, array in inputs.items()}
        positional, keyword = torch_arguments(source, tensors)
        with torch.inference_mode():
            leaves = _pytree.tree_leaves(module(*positional, **keyword))
        return [leaf.numpy() for leaf in leaves if isinstance(leaf, torch.Tensor)]

    return run


def _own(name, source, example, threads) -> Peer:
    try:
        return frontends()[name].reference(source, threads)
    except NeoError:
        raise
    except Exception as error:
        raise PeerUnavailable(f"{name} can't load {source_name(source)}: {error}") from error


def _shapes(inputs: Mapping[str, Sequence]) -> str:
    return ", ".join(f"{name}: {'x'.join(map(str, np.shape(array)))}" for name, array in inputs.items())
