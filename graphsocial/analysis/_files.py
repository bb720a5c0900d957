"""Export of a graph as GraphML, written node by node so that memory does not grow with its size."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

import numpy as np
import polars as pl

from graphsocial.analysis._measures import Ints

HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<graphml xmlns="http://graphml.graphdrawing.org/xmlns" '
    'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
    'xsi:schemaLocation="http://graphml.graphdrawing.org/xmlns '
    'http://graphml.graphdrawing.org/xmlns/1.0/graphml.xsd">\n'
)
LINES = 10_000


def write_graphml(path: Path, nodes: pl.DataFrame, ends: tuple[Ints, Ints]) -> None:
    """Write a directed graph as GraphML, as networkx, Gephi and igraph read it.

    Args:
        path: the file to write.
        nodes: a row for each node; every column becomes an attribute, nulls are left out.
        ends: row numbers of the edges' sources, and of their destinations.
    """
    types = {name: _type(kind) for name, kind in nodes.schema.items()}
    with path.open("w", encoding="utf-8") as file:
        file.write(HEAD)
        for name, kind in types.items():
            file.write(f'<key id={quoteattr(name)} for="node" attr.name={quoteattr(name)} attr.type="{kind}"/>\n')
        file.write('<graph edgedefault="directed">\n')
        for start in range(0, nodes.height, LINES):
            rows = nodes.slice(start, LINES).iter_rows(named=True)
            file.writelines(_node(number, row) for number, row in enumerate(rows, start))
        for start in range(0, len(ends[0]), LINES):
            part = np.stack([end[start : start + LINES] for end in ends], axis=1).tolist()
            file.writelines(f'<edge source="n{a}" target="n{b}"/>\n' for a, b in part)
        file.write("</graph>\n</graphml>\n")


def _type(kind: pl.DataType) -> str:
    return "long" if kind.is_integer() else "double" if kind.is_float() else "string"


def _node(number: int, row: Mapping[str, object]) -> str:
    attributes: Iterable[str] = (
        f"<data key={quoteattr(name)}>{escape(str(value))}</data>" for name, value in row.items() if value is not None
    )
    return f'<node id="n{number}">{"".join(attributes)}</node>\n'
