"""The graph in tensors is the graph in the store: ids, edges, features, means, and nothing later."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import reception
import torch
from conftest import GROUP, IMAGE, SCHEMA, USER, VIEWS, write_social
from hypothesis import given, settings
from hypothesis import strategies as st

import graphsocial as gs
from graphsocial.errors import DataError
from graphsocial.evaluation import splits
from graphsocial.evaluation.splits import SplitPolicy
from graphsocial.features import FeatureRef, featurize
from graphsocial.graph import SocialGraph
from graphsocial.graph.building import build
from graphsocial.graph.loaders import FullGraphLoader
from graphsocial.graph.visibility import Visibility
from graphsocial.tasks import Context
from graphsocial.tasks.edge_emotion import EdgeEmotion
from graphsocial.types import Column, GraphSchema


def load(store: gs.GraphStore, **options: object) -> SocialGraph:
    task = EdgeEmotion()
    labels = task.labels(store, "small", as_of=options.get("as_of"))  # type: ignore[arg-type]
    return build(store, "small", task.entity(store.schema), labels, **options)  # type: ignore[arg-type]


def test_edges_and_ids_are_those_of_the_store(social: gs.GraphStore) -> None:
    graph = load(social)
    rows = social.sql(
        "select s.id, d.id from edge_user_views_image e join node_user s on s.idx = e.src "
        "join node_image d on d.idx = e.dst order by e.idx"
    ).fetchall()
    edges = graph.edges["user", "views", "image"]
    users, images = graph.ids["user"], graph.ids["image"]
    assert [(users[a], images[b]) for a, b in zip(edges.src.tolist(), edges.dst.tolist(), strict=True)] == rows
    back = graph.edges["image", "rev_views", "user"]
    assert torch.equal(back.src, edges.dst)
    assert torch.equal(back.dst, edges.src)
    sources, destinations = graph.example_ids()
    assert edges.example is not None
    assert [(sources[p], destinations[p]) for p in edges.example.tolist()] == rows


def test_labels_are_single_emotions_only(social: gs.GraphStore) -> None:
    graph = load(social)
    told: dict[tuple[str, str], set[str]] = {}
    for user, image, emotions in social.sql(
        "select s.id, d.id, emotions from edge_user_views_image e join node_user s on s.idx = e.src "
        "join node_image d on d.idx = e.dst"
    ).fetchall():
        told.setdefault((user, image), set()).update(e for e in emotions if e != "unknown")
    for user, image, code in zip(*graph.example_ids(), graph.codes.tolist(), strict=True):
        emotions = told[user, image]
        assert (graph.classes[code] if code >= 0 else None) == (emotions.pop() if len(emotions) == 1 else None)


def test_a_second_dataset_does_not_mix_in(social: gs.GraphStore) -> None:
    before = load(social)
    write_social(social, dataset="other", seed=3)
    after = load(social)
    assert (after.ids["user"] == before.ids["user"]).all()
    assert torch.equal(after.codes, before.codes)
    task = EdgeEmotion()
    other = build(social, "other", task.entity(social.schema), task.labels(social, "other"))
    assert int(other.edges["user", "views", "image"].src.min()) >= 0
    assert int(other.edges["user", "views", "image"].src.max()) < len(other.ids["user"])


def test_group_vectors_are_averaged_to_users(social: gs.GraphStore) -> None:
    """HMG-Emo, eq. 1; users in no group have none."""
    report = featurize(social, "group", "hash_text", dataset="small")[0]
    graph = load(social, features=[report.use], averages={"group.description": ("user",)})
    (feature,) = graph.node_features["user"]
    assert feature.name == "mean of group.description"
    vectors = {
        idx: np.asarray(vector)
        for idx, vector in social.sql(
            f"select r.idx, v.vector from feature_rows r join vectors_{report.use.dimension} v using (set_id, content)"
        ).fetchall()
    }
    joined: dict[str, list[int]] = {}
    for user, group in social.sql(
        "select u.id, e.dst from edge_user_joins_group e join node_user u on u.idx = e.src"
    ).fetchall():
        joined.setdefault(user, []).append(group)
    for number, user in enumerate(graph.ids["user"]):
        place = int(feature.index[number])
        if user not in joined:
            assert place == -1
        else:
            mean = np.mean([vectors[group] for group in joined[user]], axis=0)
            np.testing.assert_allclose(feature.vectors[place].numpy(), mean, atol=1e-6)


def test_comments_come_with_a_mask(social: gs.GraphStore) -> None:
    report = featurize(social, "user views image.comment", "hash_text", dataset="small")[0]
    graph = load(social, features=[report.use])
    (feature,) = graph.edge_features["user", "views", "image"]
    present = [
        c is not None for (c,) in social.sql("select comment from edge_user_views_image order by idx").fetchall()
    ]
    assert feature.present.tolist() == present
    assert (
        len(feature.vectors) == social.sql("select count(distinct comment) from edge_user_views_image").fetchall()[0][0]
    )


def test_contacts_get_a_reverse_unless_they_run_both_ways(social: gs.GraphStore) -> None:
    assert ("user", "rev_connects", "user") in load(social).edges
    assert ("user", "rev_connects", "user") not in load(social, both_ways=False).edges
    with social.transaction():
        social.connection.execute("delete from edge_user_connects_user")
        social.connection.execute("delete from dataset_rows where table_name = 'edge_user_connects_user'")
    social.write(
        social.schema.edge("user connects user"),
        "select 'u1' as src, 'u2' as dst union all select 'u2', 'u1'",
        dataset="small",
    )
    assert ("user", "rev_connects", "user") not in load(social).edges


def test_heterograph_has_the_same_edges(social: gs.GraphStore) -> None:
    graph = load(social)
    for kind, edges in graph.edges.items():
        src, dst = graph.heterograph.edges(etype=kind, order="eid")
        assert torch.equal(src, edges.src)
        assert torch.equal(dst, edges.dst)
    assert {name: graph.heterograph.num_nodes(name) for name in graph.ids} == graph.num_nodes


def test_tabular_statistics_come_from_training_users_alone(social: gs.GraphStore) -> None:
    graph = load(social)
    train = np.flatnonzero(graph.ends[0].numpy() < 10)
    fitted = graph.fit_tabular(train).tabular["user"]
    ages = social.sql("select age from node_user order by idx").pl()["age"].to_numpy()
    seen = ages[np.unique(graph.ends[0].numpy()[train])]
    assert fitted.parts[0].mean == pytest.approx(np.nanmean(seen))  # type: ignore[union-attr]


def test_fitted_encodings_are_read_back_from_json_with_that_of_the_context(posts: gs.GraphStore) -> None:
    labels = reception.Reception().labels(posts, "posts")
    rows = pl.DataFrame({"hour": np.arange(len(labels)) % 24})
    labels = replace(labels, context=Context((Column("hour", "number"),), rows))
    bare = build(posts, "posts", reception.POST, labels)
    graph = bare.fit_tabular(np.arange(50))
    state = json.loads(json.dumps(graph.tabular_state()))
    assert set(state) == {"page", "post", "context of examples"} and set(graph.tables) == {"page", "post"}
    again = bare.with_tabular_state(state)
    assert graph.context_table.shape == (len(labels), 2) and torch.equal(again.context_table, graph.context_table)
    assert all(torch.equal(again.tables[name], graph.tables[name]) for name in graph.tables)
    assert bare.context_table.shape == (len(labels), 0)


@settings(max_examples=5, deadline=None)
@given(days=st.integers(120, 360))
def test_nothing_later_than_as_of_changes_anything(days: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Contract 2: deleting all that is later than t changes no label, graph, split or score as of t."""
    moment = datetime(2016, 1, 1, tzinfo=timezone.utc) + timedelta(days=days)
    folder = tmp_path_factory.mktemp("time")
    stores = []
    for name in ("whole", "past"):
        store = gs.open(folder / f"{name}.duckdb")
        write_social(store)
        stores.append(store)
    past = stores[1]
    kept = past.sql(f"select * from edge_user_views_image where seen_at <= timestamptz '{moment.isoformat()}'").pl()
    rows = past.sql(
        "select s.id as src, d.id as dst, e.emotions, e.comment, e.seen_at from edge_user_views_image e "
        "join node_user s on s.idx = e.src join node_image d on d.idx = e.dst "
        f"where seen_at <= timestamptz '{moment.isoformat()}' order by e.idx"
    ).pl()
    with past.transaction():
        past.connection.execute("delete from edge_user_views_image")
        past.connection.execute("delete from dataset_rows where table_name = 'edge_user_views_image'")
        past.write(VIEWS, rows, dataset="small")
    assert kept.height == rows.height
    found = []
    for store in stores:
        graph = load(store, as_of=moment)
        labels = EdgeEmotion().labels(store, "small", as_of=moment)
        codes = labels.target_labels["emotion"]
        roles = splits.assign(SplitPolicy("time"), ids=graph.example_ids(), codes=codes, times=labels.times)
        from graphsocial.models.hmg_emo import HmgEmo

        graph = graph.fit_tabular(np.flatnonzero(roles == 0))
        torch.manual_seed(0)
        network = (
            HmgEmo(layers=2, width=4, node_width=4)
            .build(graph, torch.from_numpy(np.flatnonzero(roles == 0)), seed=0)
            .eval()
        )
        loader = FullGraphLoader(graph, torch.from_numpy(roles), Visibility(), 2, temporal=True)
        asked = torch.from_numpy(np.flatnonzero(roles == 2))
        scores = next(iter(loader.batches(asked, len(asked))))
        with torch.no_grad():
            found.append((graph, roles, network(graph, scores)["emotion"]))
    (one, roles_one, scores_one), (two, roles_two, scores_two) = found
    assert (roles_one == roles_two).all()
    for kind in one.edges:
        assert torch.equal(one.edges[kind].src, two.edges[kind].src)
        assert torch.equal(one.edges[kind].dst, two.edges[kind].dst)
    assert torch.equal(scores_one, scores_two)
    for store in stores:
        store.close()


def test_reference_probabilities_are_those_of_the_visible_edges(tmp_path: Path) -> None:
    """An edge after `as_of` gives its probabilities to no pair, nor does a pair keep those that one edge denies."""
    optimal = Column("optimal", "vector", "reference")
    views = replace(VIEWS, columns=(*VIEWS.columns, optimal))
    with gs.open(tmp_path / "s.duckdb") as store:
        store.declare(GraphSchema((USER, IMAGE), (views,)))
        for entry, name in ((USER, "u"), (IMAGE, "i")):
            store.write(entry, pl.DataFrame({"id": [f"{name}{n}" for n in range(4)]}), dataset="small")
        told = [
            ("u2", "i1", "awe", 1, [0.75, 0.25]),
            ("u0", "i3", "fear", 3, [0.0, 1.0]),
            ("u1", "i0", "fear", 1, None),
        ]
        told += [("u0", "i0", "awe", 1, [1.0, 0.0]), ("u3", "i3", "awe", 1, [0.5, 0.5]), ("u3", "i3", "awe", 2, None)]
        rows = {
            "src": [row[0] for row in told],
            "dst": [row[1] for row in told],
            "emotions": [[row[2]] for row in told],
            "seen_at": [datetime(2016, 1, row[3], tzinfo=timezone.utc) for row in told],
            "optimal": [row[4] for row in told],
        }
        store.write(views, pl.DataFrame(rows), dataset="small")
        nan = float("nan")
        for day, expected in (
            (3, [[1, 0], [0, 1], [nan, nan], [0.75, 0.25], [nan, nan]]),
            (1, [[1, 0], [nan, nan], [0.75, 0.25], [0.5, 0.5]]),
        ):
            task = EdgeEmotion(classes=("awe", "fear"))
            moment = datetime(2016, 1, day, tzinfo=timezone.utc)
            labels = task.labels(store, "small", as_of=moment)
            graph = build(store, "small", task.entity(store.schema), labels, as_of=moment)
            assert graph.reference is not None
            np.testing.assert_array_equal(graph.reference.numpy(), expected)
            if day == 3:
                assert [graph.classes[code] for code in graph.codes.tolist()] == ["awe", "fear", "fear", "awe", "awe"]


def test_an_edge_without_a_pair_is_an_error(social: gs.GraphStore) -> None:
    task = EdgeEmotion()
    labels = task.labels(social, "small")
    assert labels.dst is not None
    target_labels = {"emotion": labels.target_labels["emotion"][:-1]}
    fewer = replace(labels, src=labels.src[:-1], dst=labels.dst[:-1], target_labels=target_labels, times=None)
    with pytest.raises(DataError, match="no row for 1 of the edges"):
        build(social, "small", task.entity(social.schema), fewer)


def test_contacts_that_run_both_ways_in_part_get_a_reverse(social: gs.GraphStore) -> None:
    """All nodes are at both ends, so only the edges themselves tell."""
    with social.transaction():
        social.connection.execute("delete from edge_user_connects_user").fetchall()
        social.connection.execute("delete from dataset_rows where table_name = 'edge_user_connects_user'").fetchall()
    ring = "select 'u' || n as src, 'u' || (n + 1) % 40 as dst from range(40) as t(n)"
    social.write(social.schema.edge("user connects user"), ring, dataset="small")
    assert ("user", "rev_connects", "user") in load(social).edges


def test_a_feature_set_that_is_not_there_leaves_rows_without_vectors(social: gs.GraphStore) -> None:
    featurize(social, "group", "hash_text", dataset="small")
    graph = load(social, features=[FeatureRef(GROUP, "description", "0" * 32, 256)])
    (feature,) = graph.node_features["group"]
    assert not feature.present.any()


def test_schema_of_the_fixture(social: gs.GraphStore, tmp_path: Path) -> None:
    assert social.schema == SCHEMA
