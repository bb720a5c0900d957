"""A graph goes to DGL, PyG, networkx and the store and comes back as it was; what cannot go says why."""

from __future__ import annotations

import warnings
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import dgl
import networkx as nx
import polars as pl
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import graphsocial as gs
from graphsocial._compat.pyg import import_pyg
from graphsocial.errors import DataError, InputError
from graphsocial.store.exchange import PropertyGraph
from graphsocial.types import Column, EdgeType, GraphSchema, NodeType

KINDS = ("number", "integer", "boolean", "timestamp", "vector", "category", "text", "categories")
WORDS = st.text("abcäß 你🙂'\"", min_size=1, max_size=4).map(str.strip).filter(bool)
TIMES = st.datetimes(datetime(1950, 1, 1), datetime(2060, 1, 1)).map(lambda time: time.replace(tzinfo=timezone.utc))
VALUES = {
    "number": st.floats(allow_infinity=False),
    "integer": st.integers(-(2**63), 2**63 - 1),
    "boolean": st.booleans(),
    "timestamp": TIMES,
    "vector": st.lists(st.floats(width=32, allow_nan=False), min_size=3, max_size=3),
    "category": WORDS,
    "text": WORDS,
    "categories": st.lists(WORDS, max_size=3, unique=True).map(sorted),
}


@st.composite
def columns(draw: st.DrawFn, rows: int) -> tuple[tuple[Column, ...], str | None, dict[str, list]]:
    kinds = draw(st.lists(st.sampled_from(KINDS), max_size=4))
    entries = tuple(Column(f"c{number}", kind) for number, kind in enumerate(kinds))
    times = [column.name for column in entries if column.kind == "timestamp"]
    values = {
        column.name: draw(st.lists(st.none() | VALUES[column.kind], min_size=rows, max_size=rows)) for column in entries
    }
    return entries, draw(st.sampled_from([None, *times])), values


@st.composite
def graphs(draw: st.DrawFn) -> PropertyGraph:
    """One to three node types and edge types, parallel edges and self-loops among them."""
    names = ["user", "image", "group"][: draw(st.integers(1, 3))]
    nodes, node_rows, node_entries, edge_entries, edge_rows = {}, {}, [], [], {}
    for name in names:
        nodes[name] = draw(st.lists(WORDS, min_size=1, max_size=4, unique=True))
        entries, time, values = draw(columns(len(nodes[name])))
        node_entries.append(NodeType(name, entries, time))
        node_rows[name] = pl.DataFrame({"id": nodes[name], **_series(entries, values)})
    kinds = st.tuples(st.sampled_from(names), st.sampled_from(["likes", "views"]), st.sampled_from(names))
    for kind in draw(st.lists(kinds, min_size=1, max_size=3, unique=True)):
        pair = st.tuples(*(st.integers(0, len(nodes[name]) - 1) for name in (kind[0], kind[2])))
        pairs = draw(st.lists(pair, min_size=1, max_size=6))
        entries, time, values = draw(columns(len(pairs)))
        edge_entries.append(EdgeType(*kind, entries, time))
        ends = {"src": [src for src, _ in pairs], "dst": [dst for _, dst in pairs]}
        edge_rows[kind] = pl.DataFrame({**ends, **_series(entries, values)})
    return PropertyGraph(GraphSchema(tuple(node_entries), tuple(edge_entries)), node_rows, edge_rows)


def _series(entries: tuple[Column, ...], values: dict[str, list]) -> dict[str, pl.Series]:
    dtypes = {
        "number": pl.Float64,
        "integer": pl.Int64,
        "boolean": pl.Boolean,
        "timestamp": pl.Datetime("us", "UTC"),
        "vector": pl.List(pl.Float32),
        "categories": pl.List(pl.String),
    }
    return {c.name: pl.Series(values[c.name], dtype=dtypes.get(c.kind, pl.String)) for c in entries}


@given(graphs())
@settings(max_examples=60, deadline=None)
def test_a_graph_comes_back_from_dgl_pyg_and_networkx(graph: PropertyGraph) -> None:
    assert PropertyGraph.from_dgl(graph.to_dgl(), like=graph) == graph
    assert PropertyGraph.from_pyg(graph.to_pyg(), like=graph) == graph
    assert PropertyGraph.from_networkx(graph.to_networkx()) == graph


@pytest.mark.slow
@given(graph=graphs())
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_graph_comes_back_from_the_store(graph: PropertyGraph, tmp_path_factory: pytest.TempPathFactory) -> None:
    with gs.open(tmp_path_factory.mktemp("store") / "graph.duckdb") as store:
        store.write_graph(graph, dataset="one")
        store.write_graph(graph, dataset="two")  # row numbers are the dataset's own
        assert store.graph("one") == graph
        assert store.graph("two") == graph


def test_equality_compares_every_part(social: gs.GraphStore) -> None:
    graph = social.graph()
    users, views = graph.nodes["user"], graph.edges["user", "views", "image"]
    other = users.with_columns(id=pl.concat([users["id"].slice(1), users["id"].head(1)]))
    assert graph == social.graph() and graph != "graph"
    assert graph != PropertyGraph(graph.schema, {**graph.nodes, "user": other}, graph.edges)
    assert graph != PropertyGraph(
        graph.schema, graph.nodes, {**graph.edges, ("user", "views", "image"): views.reverse()}
    )
    assert graph != social.graph(edge_types=["user connects user"])


def test_a_store_gives_the_types_and_the_time_that_are_named(social: gs.GraphStore) -> None:
    contacts = social.graph(edge_types=["user connects user"])
    assert [*contacts.nodes] == ["user"] and [*contacts.edges] == [("user", "connects", "user")]
    earlier = social.graph("small", as_of="2016-06-01")
    views = earlier.edges["user", "views", "image"]
    assert 0 < views.height < social.graph().edges["user", "views", "image"].height
    assert views["seen_at"].max() <= datetime(2016, 6, 1, tzinfo=timezone.utc)  # type: ignore[operator]
    rows = social.sql(
        "select s.id, d.id from edge_user_views_image e join node_user s on s.idx = e.src "
        "join node_image d on d.idx = e.dst order by e.idx"
    ).fetchall()
    assert social.graph().with_ids(("user", "views", "image")).select("src", "dst").rows() == rows
    with pytest.raises(gs.GraphSocialError, match="No edge type is called 'user vews image'"):
        social.graph(edge_types=["user vews image"])


def test_a_kind_of_column_is_a_kind_of_tensor(social: gs.GraphStore) -> None:
    graph = social.graph()
    heterograph, hetero_data = graph.to_dgl(), graph.to_pyg()
    users, views = heterograph.nodes["user"].data, heterograph.edges["user", "views", "image"].data
    frame = graph.nodes["user"]
    assert users["present:age"].tolist() == frame["age"].is_not_null().to_list()
    assert users["age"].tolist() == frame["age"].fill_null(0.0).to_list()
    assert [["Lima", "Oslo", None][code] for code in users["city"].tolist()] == frame["city"].to_list()
    emotions = graph.edges["user", "views", "image"]["emotions"]
    assert views["emotions"].dtype == torch.bool and views["emotions"].shape[1] == emotions.explode().n_unique()
    assert views["seen_at"].tolist() == graph.edges["user", "views", "image"]["seen_at"].dt.epoch("us").to_list()
    assert torch.equal(hetero_data["user", "views", "image"].seen_at, views["seen_at"])
    assert torch.equal(hetero_data["image"].vector, heterograph.nodes["image"].data["vector"])
    assert hetero_data.validate()


def test_a_subgraph_keeps_the_ids_of_its_nodes(social: gs.GraphStore) -> None:
    graph = social.graph()
    users = [7, 3, 20]
    part = dgl.node_subgraph(graph.to_dgl(), {"user": users, "image": list(range(30)), "group": [1]})
    back = PropertyGraph.from_dgl(part, like=graph)
    assert back.nodes["user"].equals(graph.nodes["user"][users])
    views = graph.with_ids(("user", "views", "image"))
    wanted = views.filter(pl.col("src").is_in([f"u{user}" for user in users]))
    sort = ["src", "dst", "seen_at"]
    assert (
        back.with_ids(("user", "views", "image")).drop("emotions").sort(sort).equals(wanted.drop("emotions").sort(sort))
    )


def test_a_sample_of_pyg_keeps_the_ids_of_its_nodes(social: gs.GraphStore) -> None:
    graph = social.graph()
    data = graph.to_pyg()
    data["user"].n_id = torch.arange(40).flip(0)[:40]
    for kind in data.edge_types:
        for row, name in enumerate((kind[0], kind[2])):
            if name == "user":
                data[kind].edge_index[row] = 39 - data[kind].edge_index[row]
    data["user"].age, data["user"].city = data["user"].age.flip(0), data["user"].city.flip(0)
    data["user"]["present:age"] = data["user"]["present:age"].flip(0)
    back = PropertyGraph.from_pyg(data, like=graph)
    assert back.nodes["user"].equals(graph.nodes["user"].reverse())
    kind = ("user", "connects", "user")
    assert back.with_ids(kind).equals(graph.with_ids(kind))


def test_results_of_other_libraries_go_into_the_store(social: gs.GraphStore) -> None:
    graph = social.graph(edge_types=["user connects user"])
    heterograph = graph.to_dgl()
    heterograph.nodes["user"].data["embedding"] = torch.randn(40, 5)
    ranked = PropertyGraph.from_dgl(heterograph, like=graph)
    social.write_graph(ranked, dataset="ranked")
    assert social.graph("ranked").nodes["user"]["embedding"].list.len().unique().to_list() == [5]
    with pytest.raises(DataError, match="duplicate id"):
        social.write_graph(ranked, dataset="ranked")
    assert social.graph("ranked") == ranked  # nothing was written


def test_graphs_from_elsewhere() -> None:
    club = PropertyGraph.from_networkx(nx.karate_club_graph())
    assert [(c.name, c.kind) for c in club.schema.node("node").columns] == [("club", "category")]
    assert club.nodes["node"]["id"].to_list() == [str(number) for number in range(34)]
    assert club.edges["node", "links", "node"].height == 78
    graph = nx.DiGraph()
    graph.add_node("ann", kind="person", age=30)
    graph.add_node("bob", kind="person", age=2.5)
    graph.add_node("oslo", kind="city", vector=[1.0, 2.0])
    graph.add_edge("ann", "oslo", how="lives_in", since=datetime(2020, 1, 1, tzinfo=timezone.utc))
    typed = PropertyGraph.from_networkx(graph, node_type="kind", relation="how")
    assert typed.nodes["person"].rows() == [("ann", 30.0), ("bob", 2.5)]
    assert [*typed.edges] == [("person", "lives_in", "city")]
    assert typed.schema.node("city").columns == (Column("vector", "vector"),)
    homogeneous = dgl.graph(([0, 1], [1, 2]))
    homogeneous.ndata["h"], homogeneous.edata["w"] = torch.ones(3, 2), torch.tensor([1.0, 2.0])
    plain = PropertyGraph.from_dgl(homogeneous)
    assert plain.nodes["node"].rows() == [("0", [1.0, 1.0]), ("1", [1.0, 1.0]), ("2", [1.0, 1.0])]
    assert plain.edges["node", "links", "node"].rows() == [(0, 1, 1.0), (1, 2, 2.0)]
    data = import_pyg().data.HeteroData()
    data["a"].x, data["a"].id = torch.ones(2, 3), ["p", "q"]
    data["a", "to", "a"].edge_index = torch.tensor([[0], [1]])
    data["a"].y = torch.tensor([True, False])
    assert PropertyGraph.from_pyg(data).nodes["a"].rows() == [("p", [1.0] * 3, True), ("q", [1.0] * 3, False)]


def test_a_changed_networkx_graph_comes_back_changed(social: gs.GraphStore) -> None:
    graph = social.graph(edge_types=["user connects user"])
    multigraph = graph.to_networkx()
    multigraph.remove_node(("user", "u3"))
    multigraph.add_edge(("user", "u0"), ("user", "u0"), key=("connects", 1000))
    back = PropertyGraph.from_networkx(multigraph)
    assert back.nodes["user"]["id"].to_list() == [f"u{n}" for n in range(40) if n != 3]
    kind = ("user", "connects", "user")
    wanted = graph.with_ids(kind).filter((pl.col("src") != "u3") & (pl.col("dst") != "u3"))
    assert back.with_ids(kind).rows() == [*wanted.rows(), ("u0", "u0")]


A = GraphSchema((NodeType("a", (Column("v", "vector"),)),), (EdgeType("a", "to", "a"),))


def graph_of(**changed: object) -> PropertyGraph:
    parts = {"id": ["p", "q"], "v": [[1.0], None]} | changed
    edges = {"src": parts.pop("src", [0]), "dst": parts.pop("dst", [1])}
    return PropertyGraph(A, {"a": pl.DataFrame(parts)}, {("a", "to", "a"): pl.DataFrame(edges)})


def test_what_is_no_graph_is_refused() -> None:
    for changed, sentence in (
        ({"id": ["p", "p"]}, "Two nodes of type 'a' have the id 'p'"),
        ({"id": ["p", None]}, "A node of type 'a' has no id"),
        ({"dst": [2]}, "have a dst that is not one of the 2 nodes of type 'a'"),
        ({"src": [-1]}, "have a src that is not one of the 2 nodes"),
        ({"w": [1, 2]}, r"Rows of 'a' have the columns \['id', 'v', 'w'\]; the type has \['id', 'v'\]"),
        ({"v": ["one", "two"]}, "Rows of 'a' do not have the types of their columns"),
    ):
        with pytest.raises(InputError, match=sentence):
            graph_of(**changed)
    with pytest.raises(InputError, match="which its schema does not declare"):
        PropertyGraph(A, {"b": pl.DataFrame({"id": ["p"]})}, {})


def test_values_that_cannot_be_represented_are_an_error() -> None:
    graph = graph_of()
    assert graph.nodes["a"]["v"].to_list() == [[1.0], None]
    for convert in (graph_of(v=[[1.0], [1.0, 2.0]]).to_dgl, graph_of(v=[[1.0], [1.0, 2.0]]).to_pyg):
        with pytest.raises(InputError, match=r"'a.v' have several lengths \(\[1, 2\]\)"):
            convert()
    with pytest.raises(InputError, match="DGL has no graphs without edge types"):
        PropertyGraph(GraphSchema((NodeType("a"),)), {}, {}).to_dgl()
    with pytest.raises(InputError, match="PyG uses the name 'batch_size' itself"):
        PropertyGraph(GraphSchema((NodeType("a", (Column("batch_size", "number"),)),)), {}, {}).to_pyg()
    heterograph = graph.to_dgl()
    with pytest.raises(InputError, match="has 1 nodes of type 'a', and `like` has 2"):
        PropertyGraph.from_dgl(dgl.heterograph({("a", "to", "a"): ([0], [0])}), like=graph)
    heterograph.ndata["h"] = torch.zeros(2, 3, 4)
    with pytest.raises(InputError, match=r"'a.h' is a tensor of shape \(2, 3, 4\)"):
        PropertyGraph.from_dgl(heterograph)
    with pytest.raises(InputError, match="A block has its nodes twice"):
        PropertyGraph.from_dgl(dgl.to_block(graph.to_dgl()))
    pyg = import_pyg()
    with pytest.raises(InputError, match="PyG's HeteroData is read, not Data"):
        PropertyGraph.from_pyg(pyg.data.Data(x=torch.ones(2, 1)))
    data = graph.to_pyg()
    data["a"].words = ["one", "two"]
    with pytest.raises(InputError, match=r"'a.words' is no tensor of 2 rows"):
        PropertyGraph.from_pyg(data)
    del data["a", "to", "a"].edge_index
    data["a", "to", "a"].weight = torch.ones(1)
    with pytest.raises(InputError, match="'a to a' have no edge_index"):
        PropertyGraph.from_pyg(data)
    multigraph = graph.to_networkx()
    multigraph.add_edge(("a", "p"), ("a", "q"))
    with pytest.raises(InputError, match=r"has the key 1; it must be \(relation, number\)"):
        PropertyGraph.from_networkx(multigraph)
    multigraph.add_node("stranger")
    with pytest.raises(InputError, match=r"'stranger' is not \(type, id\) with a type of"):
        PropertyGraph.from_networkx(multigraph)
    for value, sentence in ((object(), "holds int, object"), ("two", "holds int, str"), ([], "holds int, list")):
        odd = nx.Graph()
        odd.add_node(1, thing=1)
        odd.add_node(2, thing=value)
        with pytest.raises(InputError, match=sentence):
            PropertyGraph.from_networkx(odd)
    with pytest.raises(InputError, match="'Age' cannot name a column"):
        named = nx.Graph()
        named.add_node(1, Age=3)
        PropertyGraph.from_networkx(named)


def test_tensors_that_are_no_longer_those_of_a_column_are_refused(social: gs.GraphStore) -> None:
    graph = social.graph()
    for kind, name, values, sentence in (
        ("image", "vector", torch.ones(30), r"'image.vector' is a tensor of shape \(30,\) .* kind vector is 2-dim"),
        ("user", "city", torch.full((40,), 2), "'user.city' has the code 2 for 2 distinct values"),
        ("user", "city", torch.ones(40), "kind category is 1-dimensional, no floats"),
        (
            ("user", "views", "image"),
            "emotions",
            torch.ones(478, 9, dtype=torch.bool),
            "has 9 columns for 4 categories",
        ),
    ):
        data = graph.to_pyg()
        data[kind][name] = values
        with pytest.raises(InputError, match=sentence):
            PropertyGraph.from_pyg(data, like=graph)


def test_pyg_is_imported_without_warnings() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert import_pyg().__name__ == "torch_geometric"


def test_times_before_1970_and_their_zone_survive() -> None:
    schema = GraphSchema((NodeType("a", (Column("born", "timestamp"),), time="born"),), (EdgeType("a", "to", "a"),))
    oslo = timezone(timedelta(hours=1))
    frame = pl.DataFrame({"id": ["p"], "born": [datetime(1955, 5, 5, 1, tzinfo=oslo)]})
    graph = PropertyGraph(schema, {"a": frame}, {("a", "to", "a"): pl.DataFrame({"src": [0], "dst": [0]})})
    back = PropertyGraph.from_dgl(graph.to_dgl(), like=graph)
    assert back.nodes["a"]["born"][0] == datetime(1955, 5, 5, tzinfo=timezone.utc)
    assert back.schema.node("a").time == "born"
    assert replace(schema) == back.schema


def test_a_closed_path_is_no_store(tmp_path: Path) -> None:
    with gs.open(tmp_path / "empty.duckdb") as store, pytest.raises(DataError, match="holds no dataset yet"):
        store.graph()
