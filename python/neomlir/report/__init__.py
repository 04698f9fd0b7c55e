"""A profile as one HTML page that needs no network: what is drawn is plotly's, what is coloured is pygments'."""

from __future__ import annotations

import base64
import datetime
import gzip
import importlib.util
import json
import platform
from typing import TYPE_CHECKING

from neomlir import __version__
from neomlir.errors import NeoError
from neomlir.units import quantity, seconds

if TYPE_CHECKING:
    from neomlir.profiling import Profile


class ReportUnavailable(NeoError):
    """The libraries that a report is made with are not installed."""


def require() -> None:
    """Raise ReportUnavailable unless what reports are made with is installed."""
    for name in ("jinja2", "plotly", "pygments"):
        if importlib.util.find_spec(name) is None:
            raise ReportUnavailable(
                f"an HTML report needs {name}; `pip install 'neomlir[report]'` adds what it is made with"
            )


def render(profile: Profile, title: str = "") -> str:
    """The page. Raises ReportUnavailable where plotly, jinja2 or pygments is not installed."""
    require()
    import jinja2
    import plotly.offline

    from neomlir.report import mlir_lexer, plots

    environment = jinja2.Environment(loader=jinja2.PackageLoader("neomlir.report", "."), autoescape=True)
    environment.filters |= {"seconds": seconds, "quantity": quantity}
    return environment.get_template("report.html").render(
        profile=profile,
        title=title or "a compiled model",
        version=__version__,
        date=datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M"),
        host=platform.node() or platform.machine(),
        plotly=plotly.offline.get_plotlyjs(),
        figures={
            "roofline": _data(plots.roofline(profile).to_plotly_json()),
            "timeline": _data(plots.timeline(profile).to_plotly_json()),
        },
        ir=_data({name: {lv: _packed(mlir_lexer.coloured(text)) for lv, text in levels.items()}
                  for name, levels in profile.levels.items()}),
        syntax=mlir_lexer.styles(),
    )  # fmt: skip


def _data(value: object) -> str:
    """JSON that may stand in a script: no text of a model can end it."""
    import plotly.utils

    text = json.dumps(value, cls=plotly.utils.PlotlyJSONEncoder, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _packed(text: str) -> str:
    """Compressed, since a hundred kernels at four levels are many megabytes; the browser unpacks what is looked at."""
    return base64.b64encode(gzip.compress(text.encode(), 6, mtime=0)).decode()
