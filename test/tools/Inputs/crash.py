"""A pass that ends its process, as a fault of MLIR does."""

import os
from dataclasses import dataclass

from neomlir.passes.base import ModulePass, register


@register
@dataclass(frozen=True)
class Crash(ModulePass):
    """Abort."""

    name = "test-crash"

    def run(self, module):
        os.abort()
