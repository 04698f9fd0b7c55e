"""`cpu-scalar`: plain loops, an operation a kernel, the C library's functions: the reference of every pipeline."""

from neomlir.pipelines.stages import form_kernels_stage, llvm_stage, memref_stage, schedule_stage, simple_global_stage


def stages(target) -> dict[str, str]:
    """The pipeline of each level, in order, from `global` down."""
    return {
        "global": simple_global_stage(),
        "kernels": form_kernels_stage(max_ops=1),
        "vector": schedule_stage(target, ladder="scalar"),
        "memref": memref_stage("neo-lower-linalg{lanes=1}"),
        "llvm": llvm_stage(target, expand=False),
    }
