"""What a frontend is, and what it gives: an `input`-level module with its weights beside it."""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import numpy as np

from neomlir.errors import ImportFailure
from neomlir.mlir import ir

Inputs = Mapping[str, Any] | Sequence[Any] | None


class Spec(NamedTuple):
    """An input or an output of a model."""

    name: str
    dtype: str
    """The name of a numpy dtype, or `bfloat16`."""
    shape: tuple[int | None, ...]
    """None where the extent is known at run time only."""


@dataclass
class Imported:
    """A model at the `input` level."""

    module: ir.Module
    """One function `@main`; weights are arguments with `neo.weight`, inputs and results carry `neo.name`."""
    weights: dict[str, np.ndarray]
    """An array a `neo.weight`, of the argument's shape; a view of the source's own memory wherever that can be."""
    pipeline: str
    """Text of the pipeline that takes the module to the `linalg` level."""
    inputs: list[Spec]
    outputs: list[Spec]
    source_name: str
    """What messages call the model: a file name, or the name of its class."""
    state: dict[str, np.ndarray] = field(default_factory=dict)
    """The first values of inputs that stand for mutable buffers of the source (a cache, a running state)."""
    labels: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """What the numbers of an output stand for, by the name of the output, where the source gives strings."""

    def lower(self) -> None:
        """Take `module` to the `linalg` level in place.

        Raises ImportFailure that lists every operator which has no lowering. A crash of the bindings crashes this
        process: call it in a worker, and `frontends.unsupported.explain` after a worker died.
        """
        from neomlir.frontends.unsupported import check_determinism, explain

        text = self.module.operation.get_asm(enable_debug_info=True)
        try:
            _run(self.pipeline, self.module)
            check_determinism(self.module)
        except Exception as error:
            raise explain(text, self.pipeline, self.source_name, str(error)) from error


def _run(pipeline: str, module: ir.Module) -> None:
    from neomlir.pipeline import Pipeline

    Pipeline(pipeline).run(module, isolate=False)


class Frontend(abc.ABC):
    """Reads one source format; a file with an instance of it as `FRONTEND` is found by itself."""

    suffixes: ClassVar[tuple[str, ...]] = ()
    """File name endings, with the dot, that say the format."""

    objects: ClassVar[str] = ""
    """What it reads besides files, for messages: `a PyTorch nn.Module or ExportedProgram`."""

    peer: ClassVar[str] = ""
    """Which framework of `neomlir.peers` runs such a source; empty where `reference` does."""

    @abc.abstractmethod
    def reads(self, source: Any) -> bool:
        """Whether `source` is this format's; must not import the format's framework."""

    def hold(self, source: Any) -> Any:
        """`source`, or what stands for it in a forked process, where libraries with threads of their own hang."""
        return source

    @abc.abstractmethod
    def import_(self, source: Any, inputs: Inputs, context: ir.Context) -> Imported:
        """The model in `context`. Raises ImportFailure."""

    def reference(self, source: Any, threads: int = 0) -> Callable[[Mapping[str, np.ndarray]], list[np.ndarray]]:
        """The source in its own framework, what a compiled model is checked against.

        Takes arrays by input name and gives those of the outputs in order, on that many threads (0: as many as the
        framework takes by itself). Not asked for where there is a `peer`.
        Raises ImportFailure where there is nothing to run it.
        """
        raise ImportFailure(f"no framework is known that runs what the frontend {type(self).__name__} reads")
