"""The popularity analysis recovers planted coefficients, and notes what a dataset lacks."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import statsmodels.api as sm

import graphsocial as gs
from graphsocial.analysis import analyze
from graphsocial.analysis._regression import regress
from graphsocial.errors import DataError, InputError
from graphsocial.synthesis import SyntheticNotes, synthesize
from graphsocial.types import Column, GraphSchema, NodeType

PLANTED = SyntheticNotes(notes=6000)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[gs.GraphStore]:
    folder = tmp_path_factory.mktemp("popularity")
    synthesize("notes", folder / "notes", settings=PLANTED)
    with gs.open(folder / "s.duckdb") as opened:
        gs.ingest(opened, "xiaohongshu", folder / "notes")
        yield opened


def test_planted_coefficients_lie_in_their_intervals(store: gs.GraphStore) -> None:
    found = analyze(store, "popularity").tables["popularity_regression"]
    for model, scale in (("log_shares", 1.0), ("logit", PLANTED.noise)):
        rows = {row["term"]: row for row in found.filter(pl.col("model") == model).to_dicts()}
        for term, planted in PLANTED.coefficients.items():
            assert rows[term]["low"] < planted / scale < rows[term]["high"], (model, term)
        assert rows["text_image_likability"]["high"] < 0 and rows["text_image_likability"]["p"] < 1e-6
    assert (
        set(found["model"]) == {"ols", "logit", "log_shares", "log_shares_centred"} and (found["nodes"] == 6000).all()
    )
    assert found.filter(pl.col("model") == "ols")["r2"].is_between(0.02, 0.5).all()


def test_the_tables_are_in_the_store(store: gs.GraphStore) -> None:
    analyze(store, "popularity")
    shares = dict(store.sql("select measure, value from popularity_shares where node = 'note'").fetchall())
    numbers = store.sql("select shares from node_note").pl()["shares"].to_numpy()
    assert shares["nodes"] == 6000 and shares["quantile_50"] == np.median(numbers)
    assert shares["log_mean"] == pytest.approx(np.log(numbers[numbers > 0]).mean())
    assert shares["kolmogorov_smirnov"] < 0.1 < shares["kolmogorov_smirnov_of_normal"]
    felt = store.sql(
        "select emotion, sum(nodes), sum(share) from popularity_emotions group by all order by all"
    ).fetchall()
    assert felt == [("image", 6000, pytest.approx(1.0)), ("text", 6000, pytest.approx(1.0))]
    pair = "select one, other, spearman from popularity_correlations where one = 'likes' and other = 'shares'"
    ((_, _, rho),) = store.sql(pair).fetchall()
    likes = store.sql("select likes from node_note").pl()["likes"]
    assert rho == pytest.approx(
        pl.DataFrame({"a": likes, "b": numbers}).select(pl.corr("a", "b", method="spearman")).item()
    )


def test_the_heat_map_shows_every_pair(store: gs.GraphStore, tmp_path: Path) -> None:
    found = analyze(store, "popularity", export=tmp_path / "out")
    text = (tmp_path / "out" / "popularity_correlations.html").read_text(encoding="utf-8")
    assert tmp_path / "out" / "popularity_correlations.html" in found.files
    rows = found.tables["popularity_correlations"]
    assert text.count("<td style") == rows.height == 16
    assert text.count("rgb(102,102,255)") == 4  # each count with itself
    for name in ("likes", "favourites", "comments", "shares"):
        assert text.count(f"<th>{name}</th>") == 2


def test_least_squares_equals_the_normal_equations() -> None:
    random = np.random.default_rng(0)
    rows = pl.DataFrame(
        {"shares": random.integers(0, 100, 500).astype(float), "text": random.integers(1, 6, 500).astype(float)}
    )
    found, notes = regress(rows)
    given = np.column_stack([np.ones(500), rows["text"].to_numpy()])
    line = np.quantile(rows["shares"].to_numpy(), 0.8)
    y = (rows["shares"].to_numpy() > line).astype(float)
    expected = np.linalg.solve(given.T @ given, given.T @ y)
    assert found.filter(pl.col("model") == "ols")["coefficient"].to_list() == pytest.approx(expected.tolist())
    assert sm.Logit(y, given).fit(disp=False).params == pytest.approx(
        found.filter(pl.col("model") == "logit")["coefficient"].to_numpy()
    )
    assert "The data has no image emotion that varies." in notes and "The data has no likes." in notes


def test_errors_are_clustered_by_author_by_default(store: gs.GraphStore) -> None:
    found = analyze(store, "popularity")
    authors = store.first("select count(distinct src) from edge_author_posts_note")[0]  # type: ignore[index]
    assert set(found.tables["popularity_regression"]["clusters"]) == {authors}
    assert f"Standard errors of the regression are clustered by author: {authors}." in found.notes
    by_case = analyze(store, "popularity", settings={"cluster": "case"})
    assert set(by_case.tables["popularity_regression"]["clusters"]) == {PLANTED.brands}
    by_row = analyze(store, "popularity", settings={"cluster": "rows"})
    assert (
        by_row.tables["popularity_regression"]["clusters"].null_count() == by_row.tables["popularity_regression"].height
    )
    with pytest.raises(InputError, match=r"no 'writer' to cluster by; it has .*author, brand"):
        analyze(store, "popularity", settings={"cluster": "writer"})


def test_data_without_shares_is_an_error(tmp_path: Path) -> None:
    node = NodeType("post", (Column("shares", "integer", "label"),))
    with gs.open(tmp_path / "s.duckdb") as store:
        store.declare(GraphSchema((node,)))
        store.write(node, pl.DataFrame({"id": ["a", "b"], "shares": [1, 2]}), dataset="few")
        with pytest.raises(DataError, match="Only 2 'post' nodes have 'shares'; 50 are needed"):
            analyze(store, "popularity")
        with pytest.raises(InputError, match="'post' has no column 'forwards'"):
            analyze(store, "popularity", settings={"node": "post", "shares": "forwards"})
        with pytest.raises(DataError, match="No node type has a whole-number column 'forwards'"):
            analyze(store, "popularity", settings={"shares": "forwards"})
        with pytest.raises(InputError, match="between 0 and 1"):
            analyze(store, "popularity", settings={"popular": 1.0})
