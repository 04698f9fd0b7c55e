"""Run models that Neo compiled; without a dependency, numpy is used where it is there."""

from neomlir_runtime.dlr import DLRError, DLRModel
from neomlir_runtime.errors import ArtifactError, ModelError, NeoError
from neomlir_runtime.model import Model, Spec, load

__version__ = "0.1.0"
__all__ = ["ArtifactError", "DLRError", "DLRModel", "Model", "ModelError", "NeoError", "Spec", "load"]
