"""Every error that Neo raises on purpose. Each says what went wrong, where, and what to do next."""

import traceback
from collections.abc import Sequence


class NeoError(Exception):
    """Base of all errors of Neo; tools print it as one message and exit with 1."""


class ImportFailure(NeoError):
    """A model could not be read or has operators that cannot be imported."""


class PipelineError(NeoError):
    """Pipeline text, a pass name or a pass option is wrong."""


class PassFailure(NeoError):
    """A pass failed on a module."""

    diagnostics: Sequence[tuple[str, str, str]] = ()
    """(location, severity, message) of what MLIR said."""


class CompileError(NeoError):
    """A program could not be compiled, or the compiler's worker process died."""


class TargetError(NeoError):
    """A target is unknown or its description is wrong."""


class TuningError(NeoError):
    """A database of `neo-tune` is damaged or cannot be written, or there is nothing to tune."""


class ArtifactError(NeoError):
    """A `.neo` file is truncated, corrupted, or of another version or machine."""


class ModelError(NeoError):
    """A compiled model was called with the wrong arrays, or failed while running."""


class InternalError(NeoError):
    """A mistake of Neo's own: please report it, with what `NEO_TRACEBACK=1` in the environment makes a tool print."""

    trace: str = ""
    """Where it was made, as Python prints it."""

    @classmethod
    def of(cls, error: BaseException) -> "InternalError":
        """For an exception that nobody raised on purpose."""
        made = cls(f"internal error: {exception_text(error)}")
        made.trace = "".join(traceback.format_exception(error))
        return made


def exception_text(error: BaseException) -> str:
    """A Python exception as one message, with the line of code that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    if isinstance(error, SyntaxError):
        place = f" ({error.filename}:{error.lineno})"
        return f"{type(error).__name__}: {error.msg}{place}"
    return f"{type(error).__name__}: {error}".removesuffix(": ") + place


def first_line(error: NeoError) -> str:
    """What a report or a table has room for."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
