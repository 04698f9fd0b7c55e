"""What `neo-tune` has measured: the best parameters of kernels, in one JSON file that `neo-compile` reads."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from neomlir.cache import cache_folder, key_of
from neomlir.errors import TuningError
from neomlir.files import write_whole
from neomlir.mlir import ir
from neomlir.passes.choices import choices_text
from neomlir.passes.contraction import Contraction
from neomlir.passes.functions import functions
from neomlir.passes.structured import operations, straight_line
from neomlir.schedules.kernel import set_parameters

FORMAT = 1
_NAME = re.compile(r"[a-z][a-z0-9-]{0,40}")


@dataclass
class Entry:
    """What was measured of one kernel on one target."""

    kernel: str
    """The kernel's name, for people."""
    target: str
    parameters: dict[str, int | str]
    """The fastest found; empty where nothing was faster than the analytic choice."""
    seconds: float
    """The time of a call with them."""
    analytic_seconds: float
    """That of the analytic choice, measured side by side."""
    tried: dict[str, float | None] = field(default_factory=dict)
    """What each set of parameters took relative to the analytic choice; None where it could not be compiled or ran
    wrong."""
    complete: bool = False
    """Whether nothing is left to try."""
    compiler: str = ""
    """The digest of the compiler that made the measured code: another one's `tried` say nothing."""


def default_place() -> Path:
    """Where `neo-tune` writes and `neo-compile` reads unless told otherwise: `tuned.json` in the cache folder."""
    return cache_folder() / "tuned.json"


def kernel_key(nested: ir.Operation, target: Any) -> str:
    """The address of a kernel, a nested module of level `kernels`, on a target: its name and marks do not count."""
    plain = nested.clone().operation
    for name in [name for name in plain.attributes if name != "neo.kernel"]:
        del plain.attributes[name]
    function = functions(plain)[0]
    function.attributes["sym_name"] = ir.StringAttr.get("kernel", nested.context)
    set_parameters(function, {})
    key = key_of(str(plain), repr(target))
    plain.erase()
    return key


def contraction_key(signature: str, target: Any) -> str:
    """The address of what was found for a contraction by its `signature` on a target, before it is a kernel."""
    return key_of("contraction", signature, repr(target))


CHOOSING = ("neo-winograd", "neo-pack-contractions")
"""The passes that take what was found for contractions."""


def choice_options(told: Mapping[str, Mapping[str, int | str]]) -> dict[str, str]:
    """Choices by the signatures of contractions (`winograd`, the m of F(m, 3) or 0; `panel`) as options of passes."""
    uses = {signature: values["winograd"] or "never" for signature, values in told.items() if "winograd" in values}
    panels = {signature: values["panel"] for signature, values in told.items() if "panel" in values}
    options = zip(CHOOSING, (("choices", uses), ("panels", panels)), strict=True)
    return {pass_: f'{option}="{choices_text(chosen)}"' for pass_, (option, chosen) in options if chosen}


class Database:
    """Entries by `kernel_key`. A file that is missing counts as empty; one that is damaged raises TuningError."""

    def __init__(self, path: str | os.PathLike | None = None) -> None:
        """Read `path`, or the default place."""
        self.path = Path(path) if path is not None else default_place()
        self.entries = self._read()

    def _read(self) -> dict[str, Entry]:
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise TuningError(f"{self.path} cannot be read: {error.strerror}") from error
        try:
            document = json.loads(data)
            if document["format"] != FORMAT:
                raise TuningError(
                    f"{self.path} has format {document['format']!r:.40}, this neomlir reads format {FORMAT}; "
                    "remove it, or name another file"
                )
            return {key: _entry(value) for key, value in document["kernels"].items()}
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise TuningError(
                f"{self.path} is no database of neo-tune ({error}); remove it, or name another"
            ) from error

    def parameters(self, nested: ir.Operation, target: Any) -> dict[str, int | str]:
        """The best known of a kernel; empty where nothing better than the analytic choice is."""
        entry = self.entries.get(kernel_key(nested, target))
        return entry.parameters if entry else {}

    def choices(self, module: ir.Module, target: Any) -> dict[str, str]:
        """The options of the passes `CHOOSING` that say what is known of the contractions of a module before them."""
        told = {}
        for function in straight_line(module):
            for found in filter(None, map(Contraction.match, operations(function))):
                entry = self.entries.get(contraction_key(found.signature, target))
                if entry is not None:
                    told[found.signature] = entry.parameters
        return choice_options(told)

    def put(self, key: str, entry: Entry) -> None:
        """Add or replace an entry, in the file too: whole or not at all, beside what others wrote there meanwhile.

        Raises TuningError where the file cannot be written.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self._locked():
                self.entries = {**self._read(), key: entry}
                document = {"format": FORMAT, "kernels": {k: asdict(e) for k, e in sorted(self.entries.items())}}
                write_whole(self.path, (json.dumps(document, indent=1, sort_keys=True) + "\n").encode())
        except OSError as error:
            raise TuningError(f"{self.path} cannot be written: {error.strerror}") from error

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """One writer at a time: a lock on a file beside the database, which is replaced under it."""
        with open(self.path.with_name(f".{self.path.name}.lock"), "w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _entry(value: dict[str, Any]) -> Entry:
    entry = Entry(**value)
    for name, setting in entry.parameters.items():
        if not _NAME.fullmatch(name) or not (
            type(setting) is int or (type(setting) is str and _NAME.fullmatch(setting))
        ):
            raise ValueError(f"parameter {name!r:.60} of {entry.kernel!r:.60} is {setting!r:.60}")
    return entry
