"""The face of DLR, the runtime of SageMaker Neo (dlr 1.10), over ours: change the import, keep the program."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from neomlir_runtime import arrays
from neomlir_runtime.errors import ModelError, NeoError
from neomlir_runtime.model import Model

DLRError = NeoError
_DEVICES = (None, "cpu")


class DLRModel:
    """A compiled model, called as DLR's are."""

    def __init__(
        self,
        model_path: str | os.PathLike,
        dev_type: str | None = None,
        dev_id: int | None = None,
        error_log_file: str | None = None,
        use_default_dlr: bool = False,
    ) -> None:
        """Load a model.

        Args:
            model_path: a `.neo` file, or a folder that holds one.
            dev_type: `cpu`, which is also the default.
            dev_id: the number of the device; a CPU has none but 0.
            error_log_file, use_default_dlr: taken for DLR's sake, without a meaning.

        Raises:
            DLRError: the model cannot be loaded, or the device is no CPU.
        """
        if dev_type not in _DEVICES or dev_id not in (None, 0):
            raise ModelError(f"models run on device 'cpu' 0, not on {dev_type!r} {dev_id!r}")
        self._model = Model(_file(Path(model_path)))
        self._values: dict[str, Any] = {}

    def run(self, input_values: Any) -> list[Any]:
        """Run; a list of the outputs.

        `input_values` is an array for the only input, a list of arrays in the order of the inputs, or a dictionary of
        arrays by name, which may leave out inputs that an earlier run was given. Raises DLRError.
        """
        names = self.get_input_names()
        if isinstance(input_values, Mapping):
            unknown = [str(name) for name in input_values if name not in names]
            if unknown:
                raise ModelError(f"there is no input {', '.join(unknown)}; the inputs are {', '.join(names)}")
            given = dict(input_values)
        elif len(names) == 1 and not (isinstance(input_values, list) and len(input_values) == 1):
            given = {names[0]: input_values}
        elif isinstance(input_values, list) and len(input_values) == len(names):
            given = dict(zip(names, input_values, strict=True))
        else:
            raise ModelError(f"the model takes {len(names)} inputs ({', '.join(names)}): give a dictionary, or a list")
        values = {**self._values, **given}
        results = self._model.run(values)
        self._values = values
        return list(results.values())

    def get_input_names(self) -> list[str]:
        """The names of the inputs, in order."""
        return [spec.name for spec in self._model.inputs]

    def get_output_names(self) -> list[str]:
        """The names of the outputs, in order."""
        return [spec.name for spec in self._model.outputs]

    def get_input_name(self, index: int) -> str:
        """The name of an input. Raises DLRError."""
        return _item(self.get_input_names(), index, "input")

    def get_output_name(self, index: int) -> str:
        """The name of an output. Raises DLRError."""
        return _item(self.get_output_names(), index, "output")

    def get_input_dtypes(self) -> list[str]:
        """The data types of the inputs, by numpy's names."""
        return [spec.dtype for spec in self._model.inputs]

    def get_output_dtypes(self) -> list[str]:
        """The data types of the outputs, by numpy's names."""
        return [spec.dtype for spec in self._model.outputs]

    def get_input_dtype(self, index: int) -> str:
        """The data type of an input. Raises DLRError."""
        return _item(self.get_input_dtypes(), index, "input")

    def get_output_dtype(self, index: int) -> str:
        """The data type of an output. Raises DLRError."""
        return _item(self.get_output_dtypes(), index, "output")

    def get_input(self, name: str, shape: tuple[int, ...] | None = None) -> Any:
        """The value of an input that the last run had; zeros before the first, in `shape` where it is dynamic.

        Raises DLRError.
        """
        index = {spec.name: i for i, spec in enumerate(self._model.inputs)}.get(name)
        if index is None:
            raise ModelError(f"there is no input {name!r}; the inputs are {', '.join(self.get_input_names())}")
        if name in self._values:
            return self._values[name]
        wanted = self._model.inputs[index].shape if shape is None else tuple(shape)
        if None in wanted:
            raise ModelError(f"input {name!r} has shape {arrays.show(wanted)}; say which with shape=")
        return arrays.zeros(self._model._in_kinds[index], wanted)

    def get_version(self) -> str:
        """The version of the runtime."""
        from neomlir_runtime import __version__

        return __version__

    def has_metadata(self) -> bool:
        """Whether the file says what its inputs and outputs are: always."""
        return True


def _file(path: Path) -> Path:
    if not path.is_dir():
        return path
    found = sorted(path.glob("*.neo"))
    if len(found) != 1:
        said = ", ".join(file.name for file in found) or "none"
        raise ModelError(f"{path} should hold one .neo file; it holds {said}")
    return found[0]


def _item(values: list[str], index: int, what: str) -> str:
    if not 0 <= index < len(values):
        raise ModelError(f"there is no {what} {index}; there are {len(values)}")
    return values[index]
