"""The contents of a report, and their rendering as one self-contained HTML file that loads nothing when opened."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.resources import files
from typing import Any

from graphsocial.errors import PackageError

FOLDED = 15  # rows; longer tables are collapsed until they are clicked
RUNTIME = "window.draw = (div, spec, config) => vegaEmbed(div, spec, {config, actions: false, renderer: 'svg'});"


@dataclass(frozen=True)
class Chart:
    """A Vega-Lite chart with a title, and a caption that explains how to read it."""

    title: str
    spec: Mapping[str, Any]
    caption: str

    kind: str = field(default="chart", init=False)


@dataclass(frozen=True)
class Table:
    """A table of strings and numbers; without column names, a list of facts in two columns."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    caption: str = ""

    kind: str = field(default="table", init=False)

    @property
    def cells(self) -> list[list[str]]:
        """The text of each cell."""
        return [[format_value(value) for value in row] for row in self.rows]

    @property
    def right(self) -> list[bool]:
        """For each column, whether it holds only numbers, which are aligned to the right."""
        columns = list(zip(*self.rows, strict=True))
        return [all(value is None or isinstance(value, int | float) for value in column) for column in columns]


@dataclass(frozen=True)
class Prose:
    """Paragraphs, or a bulleted list."""

    title: str
    lines: Sequence[str]
    bullets: bool = False

    kind: str = field(default="prose", init=False)


@dataclass(frozen=True)
class Section:
    """A section of the page: a heading, an introduction, and charts, tables and text."""

    title: str
    intro: str
    parts: Sequence[Chart | Table | Prose]

    @property
    def anchor(self) -> str:
        """The id of its HTML element."""
        return "".join(character if character.isalnum() else "-" for character in self.title.lower())


@dataclass(frozen=True)
class Page:
    """A whole report.

    Attributes:
        title: heading of the page.
        subtitle: one line below the heading.
        key_figures: name, formatted value and remark of each figure at the top of the page.
        notes: caveats, shown above all sections.
        sections: the sections in order.
    """

    title: str
    subtitle: str
    key_figures: Sequence[tuple[str, str, str]]
    notes: Sequence[str]
    sections: Sequence[Section]

    def html(self) -> str:
        """The HTML, with the code of Vega, which draws the charts.

        Raises:
            PackageError: the packages of the extra `report` are not installed.
        """
        jinja2, vl_convert = import_package("jinja2"), import_package("vl_convert")
        folder = files("graphsocial.reporting")
        template = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(
            (folder / "page.html").read_text("utf-8")
        )
        charts = [part for section in self.sections for part in section.parts if isinstance(part, Chart)]
        html: str = template.render(
            page=self,
            folded=FOLDED,
            style=(folder / "page.css").read_text("utf-8"),
            runtime=vl_convert.javascript_bundle(RUNTIME).replace("</script", "<\\/script"),
            specs=_json([chart.spec for chart in charts]),
            config=_json(CONFIG),
        )
        return html


def import_package(name: str) -> Any:
    """Import a package of the extra `report`.

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
    """JSON without `<`, so that no string in it can close the `<script>` element around it."""
    return json.dumps(value, allow_nan=False).replace("<", "\\u003c")


def format_value(value: Any) -> str:
    """A value as text: `0.412`, `12,345`, `yes`; `–` for missing values."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.3f}" if abs(value) < 1000 else f"{value:,.0f}"
    return str(value)


METRIC_TITLES = {
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


def metric_title(metric: str) -> str:
    """A metric's name in charts and tables: `weighted_f1` → `weighted F1`."""
    return METRIC_TITLES.get(metric, metric.replace("_", " "))


def format_interval(value: float | None, low: float | None, high: float | None, *, signed: bool = False) -> str:
    """An estimate with its confidence interval as text: `0.412 (0.398 to 0.425)`.

    Args:
        value: the estimate; `–` where it is None.
        low: lower bound; None where there is no interval.
        high: upper bound.
        signed: positive numbers have a `+`.
    """
    if value is None:
        return "–"
    sign = "+" if signed else ""
    return f"{value:{sign}.3f}" + (f" ({low:{sign}.3f} to {high:{sign}.3f})" if low is not None else "")


INK, PALE = "#1b1f24", "#d9dde1"
# The palette of Okabe & Ito, safe for colour-blind readers, with black in place of their yellow.
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#8c8c8c")
FONT = "system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', 'Noto Sans', 'Liberation Sans', Arial, sans-serif"
_LABELS = {"labelColor": "#4a5058", "titleColor": "#4a5058", "labelFontSize": 12, "titleFontSize": 12}
CONFIG: dict[str, Any] = {
    "font": FONT,
    "background": None,
    "view": {"stroke": None},
    "axis": {
        **_LABELS,
        "titleFontWeight": 500,
        "titlePadding": 8,
        "gridColor": "#eceef0",
        "domainColor": PALE,
        "tickColor": PALE,
        "labelLimit": 260,
    },
    "legend": {**_LABELS, "titleFontWeight": 500, "labelLimit": 260, "symbolStrokeWidth": 2},
    "header": {**_LABELS, "labelFontWeight": 600, "labelColor": INK, "title": None},
    "title": {"fontSize": 13, "fontWeight": 600, "color": INK, "anchor": "start"},
    "range": {"category": list(PALETTE), "heatmap": {"scheme": "blues"}, "ramp": {"scheme": "blues"}},
    "line": {"strokeWidth": 2},
    "point": {"filled": True, "size": 45},
    "rule": {"strokeWidth": 2},
}
