"""A report as a value, and the one HTML file that it becomes: nothing is loaded from anywhere when it is opened."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.resources import files
from typing import Any

from graphsocial.errors import PackageError

FOLDED = 15  # rows, above which a table is shown on a click
RUNTIME = "window.draw = (where, spec, config) => vegaEmbed(where, spec, {config, actions: false, renderer: 'svg'});"


@dataclass(frozen=True)
class Chart:
    """A Vega-Lite picture: a title that names it, and a caption that says how to read it."""

    title: str
    spec: Mapping[str, Any]
    caption: str

    kind: str = field(default="chart", init=False)


@dataclass(frozen=True)
class Table:
    """Rows of texts and numbers, written out in full."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    caption: str = ""

    kind: str = field(default="table", init=False)

    @property
    def cells(self) -> list[list[str]]:
        """The text of each cell."""
        return [[written(value) for value in row] for row in self.rows]

    @property
    def right(self) -> list[bool]:
        """Which columns hold numbers."""
        columns = list(zip(*self.rows, strict=True))
        return [all(value is None or isinstance(value, int | float) for value in column) for column in columns]


@dataclass(frozen=True)
class Prose:
    """Paragraphs; a list where they are points."""

    title: str
    lines: Sequence[str]
    points: bool = False

    kind: str = field(default="prose", init=False)


@dataclass(frozen=True)
class Section:
    """A part of the page with a heading."""

    title: str
    intro: str
    parts: Sequence[Chart | Table | Prose]

    @property
    def anchor(self) -> str:
        """What links to it."""
        return "".join(letter if letter.isalnum() else "-" for letter in self.title.lower())


@dataclass(frozen=True)
class Page:
    """A whole report.

    Attributes:
        title, subtitle: what it is about.
        numbers: the few that matter: name, value, remark.
        notes: what a reader must know before any number.
        sections: in order.
    """

    title: str
    subtitle: str
    numbers: Sequence[tuple[str, str, str]]
    notes: Sequence[str]
    sections: Sequence[Section]

    def html(self) -> str:
        """The file's text; charts are drawn by Vega, whose code is in it.

        Raises:
            PackageError: the packages that charts need are not installed.
        """
        jinja2, convert = package("jinja2"), package("vl_convert")
        folder = files("graphsocial.reporting")
        template = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(
            (folder / "page.html").read_text("utf-8")
        )
        charts = [part for section in self.sections for part in section.parts if isinstance(part, Chart)]
        text: str = template.render(
            page=self,
            folded=FOLDED,
            style=(folder / "page.css").read_text("utf-8"),
            runtime=convert.javascript_bundle(RUNTIME).replace("</script", "<\\/script"),
            specs=_json([chart.spec for chart in charts]),
            config=_json(CONFIG),
        )
        return text


def package(name: str) -> Any:
    """A package of the extra `report`.

    Raises:
        PackageError: it is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise PackageError(
            f"Reports need the package '{name}', which is not installed: pip install 'graphsocial[report]'"
        ) from error


def _json(value: Any) -> str:
    """JSON that cannot end the element it stands in."""
    return json.dumps(value, allow_nan=False).replace("<", "\\u003c")


def written(value: Any) -> str:
    """A cell's text: `0.412`, `12,345`, `–` for what is not known."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.3f}" if abs(value) < 1000 else f"{value:,.0f}"
    return str(value)


WORDS = {
    "mae": "MAE",
    "median_ae": "median AE",
    "r2": "R²",
    "pearson": "Pearson's r",
    "rmse": "RMSE",
    "rmsle": "RMSLE",
    "spearman": "Spearman's ρ",
    "weighted_f1": "weighted F1",
    "macro_f1": "macro F1",
    "f1": "F1",
}


def words(metric: str) -> str:
    """A metric's name for people: `weighted_f1` → `weighted F1`."""
    return WORDS.get(metric, metric.replace("_", " "))


def interval(value: float | None, low: float | None, high: float | None, *, signed: bool = False) -> str:
    """`0.412 (0.398 to 0.425)`."""
    if value is None:
        return "–"
    sign = "+" if signed else ""
    return f"{value:{sign}.3f}" + (f" ({low:{sign}.3f} to {high:{sign}.3f})" if low is not None else "")


INK, PALE = "#1b1f24", "#d9dde1"
# Okabe & Ito's palette, which colour-blind readers can tell apart, with black for their yellow.
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#8c8c8c")
FONT = "system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', 'Noto Sans', 'Liberation Sans', Arial, sans-serif"
_WORDS = {"labelColor": "#4a5058", "titleColor": "#4a5058", "labelFontSize": 12, "titleFontSize": 12}
CONFIG: dict[str, Any] = {
    "font": FONT,
    "background": None,
    "view": {"stroke": None},
    "axis": {
        **_WORDS,
        "titleFontWeight": 500,
        "titlePadding": 8,
        "gridColor": "#eceef0",
        "domainColor": PALE,
        "tickColor": PALE,
        "labelLimit": 260,
    },
    "legend": {**_WORDS, "titleFontWeight": 500, "labelLimit": 260, "symbolStrokeWidth": 2},
    "header": {**_WORDS, "labelFontWeight": 600, "labelColor": INK, "title": None},
    "title": {"fontSize": 13, "fontWeight": 600, "color": INK, "anchor": "start"},
    "range": {"category": list(PALETTE), "heatmap": {"scheme": "blues"}, "ramp": {"scheme": "blues"}},
    "line": {"strokeWidth": 2},
    "point": {"filled": True, "size": 45},
    "rule": {"strokeWidth": 2},
}
