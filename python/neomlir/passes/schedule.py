"""Choose a schedule for each kernel and rewrite the kernel by it."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from neomlir.errors import PassFailure
from neomlir.mlir import ir
from neomlir.passes.base import ModulePass, count, register
from neomlir.passes.expect import fail
from neomlir.schedules.base import NotApplicable, Schedule, find, ladder
from neomlir.schedules.intrinsics import forget_uncalled
from neomlir.schedules.kernel import Kernel, parameters_of, set_parameters

LOOPS = ("affine", "scalar")
"""What is left to a kernel that no schedule takes: loops through the affine dialect, or plain ones."""


@register
@dataclass(frozen=True)
class ScheduleKernels(ModulePass):
    """Rewrite each kernel of a kernel module by the first schedule of the ladder that takes it.

    Expects the level `kernels`: functions of `linalg` on tensors in destination style; leaves the level `vector`.
    A kernel that no schedule takes keeps its body. The attribute `neo.schedule` of the function names the schedule,
    or the way that is left: `affine`, and `scalar` where the ladder is empty. Schedules named in the module's
    attribute `neo.refuse` (an array of strings) are passed over; its attribute `neo.rung`, left by
    `neo-limit-schedules`, allows none and says what is left; `neo.portable`, by `neo-keep-portable`, allows no scalable
    vectors. Parameters in a function's attribute `neo.parameters`, left by `neo-set-parameters`, are taken instead of a
    schedule's own, and the schedule named there is tried first; afterwards the attribute holds all parameters that were
    taken.
    """

    name = "neo-schedule"

    target: str = "host"
    """The target whose vectors, registers and caches the schedules are cut to."""

    ladder: str = ",".join(ladder())
    """Names of schedules, best first, with commas between them; `affine` or `scalar` at the end says what is left to
    the others. Empty leaves every kernel to plain loops."""

    def run(self, module: ir.Module) -> None:
        from neomlir.targets import get

        names = [name for name in self.ladder.split(",") if name]
        known = (*ladder(), *LOOPS)
        for name in names:
            if name not in known:
                raise PassFailure(f"{self.name}: no schedule is called {name!r}; there are {', '.join(known)}")
        op = module.operation
        target = get(self.target)
        if "neo.portable" in op.attributes:
            target = target.fixed
        refused = {a.value for a in op.attributes["neo.refuse"]} if "neo.refuse" in op.attributes else set()
        rung = None
        if "neo.rung" in op.attributes:
            attribute = op.attributes["neo.rung"]
            if not isinstance(attribute, ir.StringAttr):
                fail(op, f"{self.name}: attribute neo.rung is the name of a rung, not {attribute}")
            rung = attribute.value
        allowed = [] if rung else [name for name in names if name not in LOOPS and name not in refused]
        otherwise = rung or next((name for name in names if name in LOOPS), "affine" if names else "scalar")
        for func in [o.operation for o in module.body.operations if o.operation.name == "func.func"]:
            if len(func.regions[0].blocks):
                count(f"kernels by {schedule_function(func, allowed, target, otherwise)}")


def schedule_function(func: ir.Operation, names: list[str], target, otherwise: str) -> str:
    """Replace a kernel by its scheduled form beside it; gives the name of the schedule taken."""
    taken = otherwise
    if _is_empty(func):
        _return_destinations(func)
        names = []
    try:
        kernel = Kernel.read(func)
        first = kernel.given.get("schedule")
        names = sorted(names, key=lambda name: name != first)
    except NotApplicable:
        names = []
    for name in names:
        made = _scheduled(find(name), kernel, target)
        if made is None:
            continue
        parameters, kernel = kernel.taken, None
        func.erase()
        func, taken = made, name
        set_parameters(func, parameters)
        break
    func.attributes["neo.schedule"] = ir.StringAttr.get(taken, func.context)
    forget_uncalled(func.operation.block)
    return taken


def _scheduled(schedule: Schedule, kernel: Kernel, target) -> ir.Operation | None:
    """The kernel by one schedule, in scalable vectors where both can; None where it does not take the kernel."""
    for form in dict.fromkeys((target, target.fixed) if schedule.scalable else (target.fixed,)):
        kernel.space.clear()
        kernel.taken.clear()
        with contextlib.suppress(NotApplicable), kernel.func.context, kernel.func.location:
            if schedule.applies(kernel, form):
                return schedule.build(kernel, form)
    return None


def _is_empty(func: ir.Operation) -> bool:
    """Whether a kernel has only results without elements: upstream's verifiers refuse views of such."""
    type_ = ir.FunctionType(ir.TypeAttr(func.attributes["function_type"]).value)
    tensors = [ir.RankedTensorType(t) for t in type_.results if isinstance(t, ir.RankedTensorType)]
    straight = len(func.regions[0].blocks) == 1 and len(type_.results) <= len(type_.inputs)
    return straight and bool(tensors) and len(tensors) == len(type_.results) and all(0 in t.shape for t in tensors)


def _return_destinations(func: ir.Operation) -> None:
    """Leave nothing of a kernel's body but the return of its last arguments, as they are."""
    block = func.regions[0].blocks[0]
    ops = [op.operation for op in block.operations]
    for position, destination in enumerate(list(block.arguments)[len(block.arguments) - len(ops[-1].operands) :]):
        ops[-1].operands[position] = destination
    for op in reversed(ops[:-1]):
        op.erase()


def schedule_space(func: ir.Operation, target) -> dict[str, tuple[int | str, ...]]:
    """The parameters of a kernel at level `kernels` and the values that each may take, the analytic one first.

    `schedule` is one of them. The others are those of the schedule that the kernel would take as it stands, and may
    depend on the values that its attribute `neo.parameters` gives to others. Empty where no schedule takes it. The
    kernel stays as it is.
    """
    spaces: dict[str, dict[str, tuple[int, ...]]] = {}
    for name in ladder():
        with contextlib.suppress(NotApplicable):
            kernel = Kernel.read(func)
            made = _scheduled(find(name), kernel, target)
            if made is not None:
                made.erase()
                spaces[name] = kernel.space
    forget_uncalled(func.operation.block)
    if not spaces:
        return {}
    told = parameters_of(func).get("schedule")
    return {"schedule": tuple(spaces), **spaces[told if told in spaces else next(iter(spaces))]}
