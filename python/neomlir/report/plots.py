"""The plots of a report, as plotly figures."""

from __future__ import annotations

import html
import math
from typing import TYPE_CHECKING

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from neomlir.errors import TargetError
from neomlir.targets import Target

if TYPE_CHECKING:
    from neomlir.profiling import KernelProfile, Profile

# Okabe and Ito's colours, which people who see few colours can tell apart.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#000000")
_LAYOUT = {
    "template": "plotly_white",
    "font": {"family": "system-ui, sans-serif", "size": 13},
    "margin": {"l": 70, "r": 20, "t": 20, "b": 50},
    "legend": {"orientation": "h", "y": 1.0, "yanchor": "bottom"},
    "hoverlabel": {"align": "left"},
}


def roofline(profile: Profile) -> go.Figure:
    """Operations a second over operations a byte, a point a kernel, under the roofs of this machine."""
    figure, machine = go.Figure(), profile.machine
    points = [k for k in profile.kernels if k.flops and k.bytes and k.flops_rate]
    intensity = [k.flops / k.bytes for k in points]
    left, right = min([0.05, *intensity]) / 2, max([100.0, *intensity]) * 2
    for label, rate in _roofs(profile):
        ridge = machine.flops / rate
        xs = [left, min(ridge, right)] + ([right] if ridge < right else [])
        ys = [min(x * rate, machine.flops) / 1e9 for x in xs]
        figure.add_scatter(
            x=xs, y=ys, mode="lines", line={"color": "#999", "width": 1.5}, showlegend=False, hoverinfo="skip"
        )
        angle_at = left * (ridge / left) ** 0.25
        figure.add_annotation(
            x=_log(angle_at), y=_log(angle_at * rate / 1e9), text=html.escape(label), showarrow=False,
            font={"size": 11, "color": "#666"}, bgcolor="rgba(255,255,255,0.8)",
        )  # fmt: skip
    figure.add_annotation(
        x=_log(right), y=_log(machine.flops / 1e9), text=f"{machine.flops / 1e9:.0f} GFLOP/s", showarrow=False,
        xanchor="right", yanchor="bottom", font={"size": 11, "color": "#666"},
    )  # fmt: skip
    for schedule, colour in _colours(profile).items():
        mine = [k for k in points if k.schedule == schedule]
        if mine:
            figure.add_scatter(
                x=[k.flops / k.bytes for k in mine],
                y=[k.flops_rate / 1e9 for k in mine],
                mode="markers",
                name=html.escape(schedule),
                marker={
                    "color": colour,
                    "opacity": 0.75,
                    "size": [8 + 40 * k.share**0.5 for k in mine],
                    "line": {"color": "white", "width": 1},
                },
                customdata=[k.name for k in mine],
                text=[_describe(k) for k in mine],
                hovertemplate="%{text}<extra></extra>",
            )
    figure.update_layout(**_LAYOUT, height=480)
    figure.update_xaxes(title="operations a byte of arguments", type="log", exponentformat="power", dtick=1)
    figure.update_yaxes(title="GFLOP/s", type="log", exponentformat="power", dtick=1)
    return figure


def timeline(profile: Profile) -> go.Figure:
    """One run from left to right: which kernel runs when, and above each other what the arena holds meanwhile."""
    figure = make_subplots(rows=2, shared_xaxes=True, vertical_spacing=0.06, row_heights=[0.35, 0.65])
    steps, kernels, colours = profile.steps, profile.kernels, _colours(profile)
    for schedule, colour in colours.items():
        mine = [(n, s) for n, s in enumerate(steps) if kernels[s.kernel].schedule == schedule]
        if not mine:
            continue
        figure.add_bar(
            x=[(s.end - s.begin) * 1e3 for _, s in mine],
            base=[s.begin * 1e3 for _, s in mine],
            y=[html.escape(schedule)] * len(mine),
            orientation="h",
            name=html.escape(schedule),
            marker={"color": colour, "line": {"width": 0.5, "color": "white"}},
            customdata=[kernels[s.kernel].name for _, s in mine],
            text=[
                f"step {n}: {html.escape(kernels[s.kernel].name)}<br>{(s.end - s.begin) * 1e6:.1f} µs, "
                f"from {s.begin * 1e3:.3f} ms, {s.items} work items"
                for n, s in mine
            ],
            textposition="none",
            hovertemplate="%{text}<extra></extra>",
            row=1,
            col=1,
        )
    _arena(figure, profile, colours)
    figure.update_layout(**_LAYOUT, height=620, bargap=0.25, barmode="overlay")
    figure.update_xaxes(title="ms", row=2, col=1)
    figure.update_yaxes(title="MB of the arena", row=2, col=1)
    return figure


def _arena(figure: go.Figure, profile: Profile, colours: dict[str, str]) -> None:
    """A box a buffer, from the begin of its first step to the end of its last; the bytes alive as a line."""
    steps, kernels = profile.steps, profile.kernels
    boxes = [b for b in profile.buffers if b.last < len(steps)]
    begins, ends = [steps[b.first].begin for b in boxes], [steps[b.last].end for b in boxes]
    makers = [kernels[steps[b.first].kernel] for b in boxes]
    figure.add_bar(
        x=[(begin + end) * 5e2 for begin, end in zip(begins, ends, strict=True)],
        width=[(end - begin) * 1e3 for begin, end in zip(begins, ends, strict=True)],
        base=[b.offset / 1e6 for b in boxes],
        y=[b.bytes / 1e6 for b in boxes],
        marker={
            "color": [colours[m.schedule] for m in makers],
            "opacity": 0.55,
            "line": {"width": 1, "color": "white"},
        },
        customdata=[m.name for m in makers],
        text=[
            f"{b.bytes / 1e3:.1f} kB at {b.offset}<br>steps {b.first} to {b.last}<br>written by {html.escape(m.name)}"
            for b, m in zip(boxes, makers, strict=True)
        ],
        textposition="none",
        hovertemplate="%{text}<extra></extra>",
        showlegend=False,
        row=2,
        col=1,
    )
    alive = [sum(b.bytes for b in boxes if b.first <= n <= b.last) for n in range(len(steps))]
    figure.add_scatter(
        x=[t * 1e3 for s in steps for t in (s.begin, s.end)],
        y=[size / 1e6 for size in alive for _ in range(2)],
        mode="lines",
        line={"color": "#333", "width": 1.5, "dash": "dot"},
        name="alive",
        hovertemplate="%{y:.2f} MB alive<extra></extra>",
        row=2,
        col=1,
    )
    figure.add_hline(y=profile.arena_bytes / 1e6, line={"color": "#999", "width": 1}, row=2, col=1)


def _colours(profile: Profile) -> dict[str, str]:
    """A colour a schedule, the one that takes most time first."""
    total: dict[str, float] = {}
    for kernel in profile.kernels:
        total[kernel.schedule] = total.get(kernel.schedule, 0.0) + kernel.seconds
    ranked = sorted(total, key=lambda schedule: -total[schedule])
    return {schedule: _COLOURS[min(i, len(_COLOURS) - 1)] for i, schedule in enumerate(ranked)}


def _roofs(profile: Profile) -> list[tuple[str, float]]:
    """Copy rates by where the copy fits: half of each cache, and memory."""
    machine = profile.machine
    found = [("memory", machine.bandwidth)]
    try:
        cache = Target.named(profile.target).cache
    except TargetError:
        return found
    for label, size in (("L2", cache.l2), ("L1", cache.l1d)):
        found.append((label, machine.copy_rate(size * profile.threads / 2)))
    return [(f"{label}: {rate / 1e9:.0f} GB/s", rate) for label, rate in found]


def _describe(kernel: KernelProfile) -> str:
    lines = [
        f"<b>{html.escape(kernel.name)}</b>",
        f"{kernel.seconds * 1e3:.3f} ms in {kernel.calls} calls, {kernel.share:.1%} of all",
        f"{kernel.flops_rate / 1e9:.1f} GFLOP/s, {kernel.bytes_rate / 1e9:.1f} GB/s, {kernel.roof:.0%} of the roof",
    ]
    if kernel.parameters:
        told = ", ".join(f"{name} {value}" for name, value in sorted(kernel.parameters.items()))
        lines.append(html.escape(f"{kernel.schedule}: {told}"))
    return "<br>".join(lines)


def _log(value: float) -> float:
    """Where an annotation on a logarithmic axis goes."""
    return math.log10(value)
