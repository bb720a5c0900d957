"""The lines before the rows of a CSV file: headers in quotes, headers to mend, comments."""

from __future__ import annotations

from pathlib import Path

import pytest

import graphsocial as gs


@pytest.mark.parametrize("header", ['"id","the text, if any","n;m"', 'id,"the text, if any",n;m'])
def test_a_quoted_header_is_a_header_and_nothing_is_said(tmp_path: Path, header: str) -> None:
    """Read with another delimiter it would look like a quote that is not closed."""
    (tmp_path / "f.csv").write_text(f'{header}\n1,"a, b",2\n2,"c ""d""",3\n')
    (tmp_path / "m.yaml").write_text(
        "dataset: d\nfiles: {f: f.csv}\nnodes:\n  post: {file: f, id: id, columns: "
        "{text: {kind: text, from: 'the text, if any'}, n: {kind: number, from: 'n;m'}}}\n"
    )
    with gs.open(tmp_path / "s.duckdb") as store:
        report = gs.ingest(store, "table", tmp_path / "m.yaml")
        assert store.sql("select id, text, n from node_post order by id").fetchall() == [
            ("1", "a, b", 2.0),
            ("2", 'c "d"', 3.0),
        ]
    assert report.rows == {"post": 2} and not report.notes
