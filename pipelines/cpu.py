"""`cpu`: the fast one. Whole-graph layouts and packing, then each kernel by the best schedule that takes it."""

from neomlir.pipelines.common import global_stage
from neomlir.pipelines.stages import form_kernels_stage, llvm_stage, memref_stage, schedule_stage
from neomlir.schedules.tiles import scores_bytes


def stages(target) -> dict[str, str]:
    """The pipeline of each level, in order, from `global` down."""
    return {
        "global": global_stage(target.name),
        "kernels": form_kernels_stage(scores=scores_bytes(target), borders=True, portable=target.is_scalable),
        "vector": schedule_stage(target),
        "memref": memref_stage("neo-lower-linalg{lanes=1}"),
        "llvm": llvm_stage(target),
    }
