"""Analyses write tables that join; the network analysis has node measures and homophily."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import networkx as nx
import numpy as np
import polars as pl
import pytest
from conftest import CONNECTS, IMAGE, USER, VIEWS, write_social

import graphsocial as gs
from graphsocial.analysis import analyze, expected
from graphsocial.errors import DataError, InputError, StoreError, UnknownNameError
from graphsocial.types import Column, EdgeType, GraphSchema, NodeType

PERSON = NodeType("person", (Column("mood", "category", "label"),))
KNOWS = EdgeType("person", "knows", "person")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[gs.GraphStore]:
    """The small social graph, after a second dataset in the same tables, and the run of a baseline."""
    with gs.open(tmp_path_factory.mktemp("network") / "social.duckdb") as opened:
        write_social(opened, dataset="before", users=7, seed=3)
        write_social(opened)
        gs.train(
            opened, "edge-emotion", dataset="small", model="destination-prior", features={"group.description": None}
        )
        yield opened


def test_nodes_join_with_predictions(store: gs.GraphStore) -> None:
    found = analyze(store, "network", dataset="small", settings={"permutations": 50})
    links = nx.Graph()
    links.add_nodes_from(range(40))
    ends = store.read(CONNECTS, dataset="small").pl()
    first = store.span(USER, "small").first
    links.add_edges_from(zip((ends["src"] - first).to_list(), (ends["dst"] - first).to_list(), strict=True))
    nodes = store.sql("select * from network_nodes where dataset = 'small' order by entity_id").pl()
    order = [int(name[1:]) for name in nodes["entity_id"]]
    assert nodes["degree"].to_list() == [links.degree(n) for n in order]
    between = nx.betweenness_centrality(links)
    assert nodes["betweenness"].to_list() == pytest.approx([between[n] for n in order])
    joined = store.sql(
        "select count(*), count(distinct user_id) from edge_emotion_predictions p "
        "join network_nodes n on n.entity_id = p.user_id and n.dataset = p.dataset where n.node_type = 'user'"
    ).fetchall()
    asked = store.sql("select count(*) from predictions").fetchall()
    assert joined[0][0] == asked[0][0] > 0
    summary = dict(found.tables["network_summary"].select("measure", "value").rows())
    assert summary["links"] == links.number_of_edges()
    assert summary["transitivity"] == pytest.approx(nx.transitivity(links))
    assert summary["mean_clustering"] == pytest.approx(nx.average_clustering(links))


def test_a_second_analysis_replaces_rows_of_the_same_key_only(store: gs.GraphStore) -> None:
    for dataset in ("small", "before", "small"):
        analyze(store, "network", dataset=dataset, settings={"permutations": 19})
    analyze(store, "network", dataset="small", settings={"edges": "user views image", "permutations": 19})
    counts = store.sql("select dataset, edges, count(*) from network_nodes group by all order by all").fetchall()
    assert counts == [
        ("before", "user connects user", 7),
        ("small", "user connects user", 40),
        ("small", "user views image", 70),
    ]
    told = store.sql("select dataset, settings, tables from analyses order by dataset, key").fetchall()
    assert [dataset for dataset, *_ in told] == ["before", "small", "small"]
    assert json.loads(told[0][1])["permutations"] == 19
    assert told[0][2] == ["network_summary", "network_likeness", "network_nodes"]


def test_homophily_of_labels_and_of_predictions(store: gs.GraphStore) -> None:
    found = analyze(store, "network", dataset="small", settings={"run": "latest", "permutations": 50})
    rows = found.tables["network_likeness"]
    assert rows["name"].unique().sort().to_list() == ["emotion", "user views image.emotions"]
    labels = rows.filter(pl.col("source") == "labels")
    assert labels["value"].to_list() == ["awe", "fear", "sadness"]  # 'unknown' is no emotion
    shares = store.sql(
        "select avg(share) from (select u.id, avg((word = 'awe')::int) as share from "
        "(select src, unnest(emotions) as word from edge_user_views_image where dataset = 'small') e "
        "join node_user u on u.idx = e.src where word <> 'unknown' group by u.id)"
    ).fetchall()
    assert labels["mean"][0] == pytest.approx(shares[0][0])
    assert (
        rows.filter(pl.col("source") != "labels")["source"].str.starts_with("predictions of destination_prior-").all()
    )
    assert any("passes messages" in note for note in found.notes)


def test_planted_homophily_is_significant(tmp_path: Path) -> None:
    links = nx.planted_partition_graph(2, 30, 0.3, 0.03, seed=1)
    with gs.open(tmp_path / "people.duckdb") as store:
        store.declare(GraphSchema((PERSON,), (KNOWS,)))
        moods = [None if n % 9 == 0 else "sad" if n < 30 else "glad" for n in range(60)]
        store.write(PERSON, pl.DataFrame({"id": [f"p{n}" for n in range(60)], "mood": moods}), dataset="people")
        ends = np.array(links.edges())
        store.write(
            KNOWS,
            pl.DataFrame({"src": [f"p{a}" for a in ends[:, 0]], "dst": [f"p{b}" for b in ends[:, 1]]}),
            dataset="people",
        )
        found = analyze(store, "network").tables["network_likeness"].to_dicts()
        sad = next(row for row in found if row["value"] == "sad")
        assert (sad["source"], sad["name"], sad["nodes"]) == ("labels", "person.mood", 53)
        assert sad["p"] == pytest.approx(0.001)
        assert sad["beside"] > 0.8 > sad["at_ends"]


@pytest.mark.parametrize("like", [True, False])
def test_friends_who_see_the_same_images_are_not_alike_for_that(tmp_path: Path, like: bool) -> None:
    """Communities of friends see images of their own, sad ones or not; only with `like` are they sad themselves."""
    random = np.random.default_rng(2)
    users, images, groups = 120, 48, 6
    of_user, of_image = np.arange(users) % groups, np.arange(images) % groups
    edges = [
        (f"u{a}", f"u{b}")
        for a in range(users)
        for b in range(a)
        if random.random() < (0.4 if of_user[a] == of_user[b] else 0.01)
    ]
    sadness, mood = np.array([-2, -1, 0, 0, 1, 2])[of_image], random.normal(0, 1.5, groups)
    views = []
    for user in range(users):
        weights = np.where(of_image == of_user[user], 10.0, 1.0)
        for image in random.choice(images, 10, replace=False, p=weights / weights.sum()):
            logit = sadness[image] + (mood[of_user[user]] if like else 0.0)
            views.append(
                (f"u{user}", f"i{image}", ["sadness" if random.random() < 1 / (1 + np.exp(-logit)) else "awe"])
            )
    with gs.open(tmp_path / "s.duckdb") as store:
        store.declare(GraphSchema((USER, IMAGE), (CONNECTS, VIEWS)))
        store.write(USER, pl.DataFrame({"id": [f"u{n}" for n in range(users)]}), dataset="friends")
        store.write(IMAGE, pl.DataFrame({"id": [f"i{n}" for n in range(images)] + ["alone"]}), dataset="friends")
        store.write(CONNECTS, pl.DataFrame(edges, schema=["src", "dst"], orient="row"), dataset="friends")
        views.append(("u0", "alone", ["awe"]))  # one label says nothing about who is alike
        store.write(VIEWS, pl.DataFrame(views, schema=["src", "dst", "emotions"], orient="row"), dataset="friends")
        found = analyze(store, "network", settings={"permutations": 199})
        raw = store.sql(
            "with mine as (select src, avg((emotions[1] = 'sadness')::int) as share from edge_user_views_image "
            "group by src) select corr(a.share, b.share) from edge_user_connects_user as e "
            "join mine as a on a.src = e.src join mine as b on b.src = e.dst"
        ).fetchall()
    assert raw[0][0] > 0.3  # what friends say is alike in either case
    rows = found.tables["network_likeness"].to_dicts()
    assert [(row["value"], row["within"]) for row in rows] == [("awe", "image"), ("sadness", "image")]
    for row in rows:
        assert (row["p_holm"] < 0.02) == like and row["p"] <= row["p_holm"], row
        assert like == (row["assortativity"] > 0.1)
    assert any("deviations from the mean label of the same image" in note for note in found.notes)


def test_the_time_is_estimated_from_the_numbers_of_nodes_and_edges(store: gs.GraphStore) -> None:
    few, many = (expected(store, "network", dataset="small", settings={"pivots": pivots}) for pivots in (1, 4))
    assert few is not None and many is not None and 0 < few < many < 1
    assert expected(store, "popularity", dataset="small") is None


def test_few_pivots_estimate_betweenness_with_a_note(store: gs.GraphStore) -> None:
    exact = analyze(store, "network", dataset="small", settings={"permutations": 19})
    some = analyze(store, "network", dataset="small", settings={"permutations": 19, "pivots": 30})
    assert not any("Betweenness" in note for note in exact.notes)
    assert some.notes[0].startswith("Betweenness is an estimate from 30 of 40 nodes")
    ends = [found.tables["network_nodes"]["betweenness"].to_numpy() for found in (exact, some)]
    assert np.corrcoef(*ends)[0, 1] > 0.9
    assert not np.allclose(*ends)


def test_exports_are_read_by_networkx_and_polars(store: gs.GraphStore, tmp_path: Path) -> None:
    found = analyze(store, "network", dataset="small", settings={"permutations": 19}, export=tmp_path / "out")
    graph = nx.read_graphml(tmp_path / "out" / "network.graphml")
    edges = pl.read_parquet(tmp_path / "out" / "network_edges.parquet")
    nodes = pl.read_parquet(tmp_path / "out" / "network_nodes.parquet")
    names = nx.get_node_attributes(graph, "entity_id")
    assert sorted((names[a], names[b]) for a, b in graph.edges()) == sorted(edges.select("src", "dst").rows())
    assert nx.get_node_attributes(graph, "degree") == {
        f"n{n}": degree for n, degree in enumerate(nodes["degree"].to_list())
    }
    assert {path.name for path in found.files} == {path.name for path in (tmp_path / "out").iterdir()}


def test_wrong_settings_are_errors(store: gs.GraphStore, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'network'"):
        analyze(store, "netwrok", dataset="small")
    with pytest.raises(UnknownNameError, match="user connects user"):
        analyze(store, "network", dataset="small", settings={"edges": "user connect user"})
    with pytest.raises(InputError, match="pivots"):
        analyze(store, "network", dataset="small", settings={"pivots": -1})
    with pytest.raises(InputError, match="joins nodes of two types"):
        analyze(store, "network", dataset="small", settings={"edges": str(VIEWS), "run": "latest"})
    with pytest.raises(InputError, match="is of the dataset 'small'"):
        analyze(store, "network", dataset="before", settings={"run": "latest"})
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is a file"):
        analyze(store, "network", dataset="small", export=tmp_path / "file")
    with gs.open(tmp_path / "views.duckdb") as views:
        views.declare(GraphSchema((USER, IMAGE), (CONNECTS, VIEWS)))
        views.write(USER, pl.DataFrame({"id": ["a"]}), dataset="views")
        with pytest.raises(InputError, match="No edge type of 'views' joins nodes of one type"):
            analyze(views, "network")
        with pytest.raises(DataError, match="has no 'user connects user' edges"):
            analyze(views, "network", settings={"edges": "user connects user"})
        for relation in ("follows", "blocks"):
            views.declare(GraphSchema((USER,), (edge := EdgeType("user", relation, "user"),)))
            views.write(edge, pl.DataFrame({"src": ["a"], "dst": ["a"]}), dataset="views")
        with pytest.raises(
            InputError, match=r"Several edge types of 'views' join nodes of one type; .* --edges .*'user b"
        ):
            analyze(views, "network")


MINE = '''
from dataclasses import dataclass
import polars as pl
from graphsocial.analysis.base import Findings

@dataclass(frozen=True)
class {name}:
    """Counts."""
    column: str = "users"
    def analyze(self, store, dataset, *, progress=None):
        return Findings({{"{frame}": pl.DataFrame({{self.column: [1, 2]}})}}, notes=("two",))
'''


def test_an_analysis_is_one_file_and_owns_its_tables(store: gs.GraphStore, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MINE.format(name="Mine", frame="counts"))
    found = analyze(store, str(tmp_path / "mine.py"), dataset="small")
    assert found.tables["mine_counts"].columns == ["dataset", "users"]
    analyze(store, str(tmp_path / "mine.py"), dataset="before", settings={"column": "people"})
    rows = store.sql("select dataset, users, people from mine_counts order by all").fetchall()
    assert rows == [("before", None, 1), ("before", None, 2), ("small", 1, None), ("small", 2, None)]
    (tmp_path / "node.py").write_text(MINE.format(name="Node", frame="user"))
    users = store.sql("select count(*) from node_user").fetchall()
    with pytest.raises(StoreError, match="'node_user'"):
        analyze(store, str(tmp_path / "node.py"), dataset="small")
    assert store.sql("select count(*) from node_user").fetchall() == users
    assert store.sql("select count(*) from analyses where analysis = 'node'").fetchall() == [(0,)]
