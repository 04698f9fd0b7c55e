"""The stages every CPU pipeline shares, as pipeline text: what is done to each kernel, and to the host."""

BUFFERIZE = (
    "neo-lower-forest,func.func(tm-tensor-bufferize),"
    "one-shot-bufferize{bufferize-function-boundaries=1 function-boundary-type-conversion=identity-layout-map},"
    "canonicalize,cse,neo-form-dispatches"
)
SCRATCH = "func.func(promote-buffers-to-stack{max-alloc-size-in-bytes=32768}),neo-free-buffers"
KERNEL_TO_LLVM = (
    # LLVM rounds what it computes on bf16 by a call for each element, of a function that no library has.
    "arith-emulate-unsupported-floats{source-types=bf16 target-type=f32},"
    "neo-bound-indices,neo-guard-divisions,expand-strided-metadata,lower-affine,"
    "convert-vector-to-scf{full-unroll=1},lower-affine,convert-scf-to-cf,"
    "convert-vector-to-llvm{reassociate-fp-reductions=1},convert-math-to-llvm,convert-math-to-libm,"
    "convert-to-llvm,reconcile-unrealized-casts,neo-emit-thunks,canonicalize,cse"
)
HOST_TO_LLVM = (
    "neo-guard-divisions,neo-lower-dispatch,expand-strided-metadata,lower-affine,convert-scf-to-cf,"
    "convert-to-llvm,reconcile-unrealized-casts,llvm.func(canonicalize,cse),neo-emit-entry"
)


def memref_stage(kernel_passes: str) -> str:
    """From `vector` to `memref`; `kernel_passes` lower the linalg operations that no schedule took."""
    loops = "func.func(tm-tensor-to-loops)"
    return f"builtin.module(builtin.module({BUFFERIZE},{loops},{kernel_passes},{SCRATCH}),neo-plan-memory)"


def has_tables(target) -> bool:
    """Whether an instruction of `target` picks numbers of a register by lane."""
    return target.has("avx512f") and target.vector.bits == 512


def llvm_stage(target, expand: bool = True) -> str:
    """From `memref` to `llvm`; `expand`: elementary functions as vector code, not as calls of the C library."""
    options = "{fused=false}" if not target.vector.fma_ports else "{tables=true}" if has_tables(target) else ""
    math = f"neo-expand-math{options},cse," if expand else ""
    return f"builtin.module(builtin.module(canonicalize,cse,{math}{KERNEL_TO_LLVM}),{HOST_TO_LLVM})"


def form_kernels_stage(max_ops: int = 64, scores: int = 0, borders: bool = False, portable: bool = False) -> str:
    """From `global` to `kernels`; `scores` are the bytes of one head's that attention may hold in a kernel.

    With `borders` depthwise and Winograd convolutions, and the largest of windows, read no border around their input if
    nothing else writes it;
    with `portable` kernels that run at compile time are kept from scalable vectors.
    """
    options = f"max-ops={max_ops}" + (f" scores={scores}" if scores else "")
    options += " borders=true" if borders else ""
    last = ",neo-keep-portable" if portable else ""
    return f"builtin.module(neo-relate-extents,neo-form-kernels{{{options}}}{last})"


def schedule_stage(target, ladder: str = "") -> str:
    """From `kernels` to `vector`; `ladder` names the schedules that may be taken, best first (all by default)."""
    options = f"target={target.name}" + (f" ladder={ladder}" if ladder else "")
    return f"builtin.module(builtin.module(neo-schedule{{{options}}}))"


def simple_global_stage() -> str:
    """From `linalg` to `global` without a change of layouts: named operations generalised, elementwise chains fused."""
    precision = "neo-lower-precision{winograd=false}"
    return f"builtin.module(neo-pack-forest{{strategy=loops}},neo-generalize,{precision},canonicalize,cse)"
