"""Neo: a multi-level compiler toolkit that turns trained models into small native programs."""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "Coverage": "api",
    "Emitted": "emitted",
    "compile": "api",
    "dry_run": "api",
    "import_model": "frontends",
    "check": "checking",
    "load": "runtime",
    "profile": "profiling",
    "tune": "tuner",
    "Model": "runtime",
    "Pipeline": "pipeline",
    "Target": "targets",
    "ArtifactError": "errors",
    "CompileError": "errors",
    "ImportFailure": "errors",
    "InternalError": "errors",
    "ModelError": "errors",
    "NeoError": "errors",
    "PassFailure": "errors",
    "PipelineError": "errors",
    "TargetError": "errors",
    "TuningError": "errors",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    """Load a public name on first use, so that tools which need few start fast."""
    if name not in _HOMES:
        raise AttributeError(f"module 'neomlir' has no attribute {name!r}")
    return getattr(importlib.import_module(f"neomlir.{_HOMES[name]}"), name)
