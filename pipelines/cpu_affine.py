"""`cpu-affine`: every kernel through the affine dialect: fusion, tiling, super-vectorisation."""

from neomlir.pipelines.stages import form_kernels_stage, llvm_stage, memref_stage, schedule_stage, simple_global_stage


def stages(target) -> dict[str, str]:
    """The pipeline of each level, in order, from `global` down."""
    lanes = max(1, target.fixed.vector.bits // 32)
    return {
        "global": simple_global_stage(),
        "kernels": form_kernels_stage(),
        "vector": schedule_stage(target, ladder="affine"),
        "memref": memref_stage(f"neo-lower-linalg{{lanes={lanes} tile=32}}"),
        "llvm": llvm_stage(target),
    }
