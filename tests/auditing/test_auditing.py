"""An audit passes a run without leaks and finds every planted leak."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import reception
import torch
from conftest import USER, write_social
from reception import POST, PUBLISHES
from torch import Tensor
from torch.nn.functional import one_hot

import graphsocial as gs
from graphsocial.auditing import Audit, expected
from graphsocial.auditing.columns import _filled, look_up
from graphsocial.auditing.messages import messages
from graphsocial.errors import InputError
from graphsocial.graph import SocialGraph, building, loaders
from graphsocial.graph.batching import Batch
from graphsocial.graph.features import Feature
from graphsocial.graph.visibility import View, Visibility
from graphsocial.models.destination_prior import DestinationPriorNetwork
from graphsocial.prediction import rebuild
from graphsocial.runs import Run
from graphsocial.types import Column, EdgeType, GraphSchema, NodeType

SMALL = {"layers": 2, "width": 8, "node_width": 8, "edge_width": 8, "batch_size": 64, "epochs": 2}
HASHED = {"group.description": "hash_text", "user views image.comment": "hash_text"}
FORWARD, BACK = ("user", "views", "image"), ("image", "rev_views", "user")
EDGES = {"forward edges", "reversed edges", "duplicate edges"}


def train(store: gs.GraphStore, **options: Any) -> Run:
    settings = {**SMALL, **options.pop("settings", {})}
    return gs.train(store, "edge-emotion", settings=settings, features=HASHED, **options)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[gs.GraphStore]:
    """The small social graph; tests leave its graph and its splits as they are."""
    with gs.open(tmp_path_factory.mktemp("audit") / "social.duckdb") as opened:
        write_social(opened)
        yield opened


@pytest.fixture(scope="module")
def run(store: gs.GraphStore) -> Run:
    return train(store)


@pytest.fixture(scope="module")
def timed(store: gs.GraphStore) -> Run:
    return train(store, split="time")


def verdicts(audit: Audit) -> dict[str, str]:
    return {check.name: check.verdict for check in audit.checks}


def details(audit: Audit) -> dict[str, str]:
    return {check.name: check.detail for check in audit.checks}


# Runs without leaks


def test_a_run_without_leaks_passes_and_is_noted_as_audited(store: gs.GraphStore, run: Run) -> None:
    epochs: list[int] = []
    openings = store.sql("select count(*) from test_openings").fetchall()
    audit = gs.audit(store, run, report=lambda epoch: epochs.append(epoch.epoch))
    assert audit.leaks == () and epochs == [1, 2]
    assert expected(store, run)[0] == 2 and expected(store, run)[1] > 0
    by_name = verdicts(audit)
    assert {name for name, verdict in by_name.items() if verdict != "pass"} == {
        "parts kept apart",
        "deleted future",
        "reciprocal edges",
        "other edge types",
    }
    assert all(check.examined > 0 for check in audit.checks if check.verdict == "pass")
    rows = store.sql("select name, verdict, examined, found from audits where run_id = ?", [run.id]).fetchall()
    assert rows == [(check.name, check.verdict, check.examined, check.found) for check in audit.checks]
    (notes,) = store.sql("select notes from leaderboard where run_id = ?", [run.id]).fetchall()[0]
    assert json.loads(notes) == ["audited"]
    assert store.sql("select count(*) from test_openings").fetchall() == openings
    assert gs.audit(store, run, quick=True).leaks == ()
    assert json.loads(store.sql("select notes from runs where run_id = ?", [run.id]).fetchall()[0][0]) == [
        "audited without controls"
    ]


@pytest.mark.parametrize(
    ("split", "loader"), [("time", "full"), ("time", "sampled"), ("source", "sampled"), ("destination", "full")]
)
def test_every_split_and_loader_passes(store: gs.GraphStore, split: str, loader: str) -> None:
    honest = train(store, split=split, settings={"loader": loader, "fanouts": "4,4", "epochs": 1})
    by_name = verdicts(gs.audit(store, honest, quick=True))
    assert "leak" not in by_name.values()
    kept = {"parts kept apart"} | ({"deleted future"} if split == "time" else {"replaced labels"})
    kept |= {"edges as stored", "labels as stored", "values as stored", "averages as stored"}
    assert {by_name[name] for name in kept} == {"pass"}


@pytest.mark.parametrize("model", ["majority", "destination-prior", "features-only", "bias"])
def test_models_without_messages_are_audited_too(store: gs.GraphStore, model: str) -> None:
    simple = gs.train(store, "edge-emotion", model=model, features=HASHED, epochs=2)
    audit = gs.audit(store, simple)
    assert audit.leaks == ()
    assert all(verdicts(audit)[name] == "not applicable" for name in EDGES)


def test_declared_visibility_is_no_leak(store: gs.GraphStore) -> None:
    seen = train(store, visibility=Visibility(predicted="structure"))
    audit = gs.audit(store, seen, quick=True)
    assert {verdicts(audit)[name] for name in EDGES} == {"declared"}
    assert "predicted=structure" in details(audit)["forward edges"] and audit.leaks == ()


@pytest.mark.parametrize("split", ["random", "time", "group:thread"])
def test_node_tasks_and_numeric_targets_are_audited(posts: gs.GraphStore, split: str, tmp_path: Path) -> None:
    """In this data the number of words determines both targets: a column that leaks the label."""
    run = gs.train(posts, reception.__file__, split=split, epochs=2, settings={"batch_size": 64})
    audit = gs.audit(posts, run)
    assert audit.leaks == ("columns of nodes",)
    by_name = verdicts(audit)
    assert by_name["changed labels"] == by_name["visible labels"] == "pass"
    assert by_name["averages of labels"] == "not applicable"  # too few pages
    assert by_name["shuffled training"] == by_name["one-hop look-up"] == "pass"
    assert (by_name["parts kept apart"] == "not applicable") == (split == "random")
    with posts.transaction():
        posts.connection.execute("update split_members set role = 'train' where role = 'test' and entity_id > 'p15'")
    if split != "random":
        assert {"parts kept apart", "split unchanged"} <= set(gs.audit(posts, run, quick=True).leaks)


# Planted leaks


def test_visible_edges_of_seed_examples_are_leaks(
    store: gs.GraphStore, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant_view(monkeypatch, lambda view, asked, labelled: replace(view, edge=torch.ones_like(view.edge)))
    audit = gs.audit(store, run, quick=True)
    assert set(audit.leaks) == EDGES | {"edges as stored"}
    checks = {check.name: check for check in audit.checks}
    assert checks["forward edges"].found == checks["forward edges"].examined
    users = set(store.sql("select id from node_user").pl()["id"])
    assert checks["forward edges"].examples and checks["forward edges"].examples[0].split()[0] in users
    (told,) = store.sql(
        "select notes from leaderboard_mean where config_id = (select config_id from runs where run_id = ?) "
        "and split = 'random'",
        [run.id],
    ).fetchall()
    notes = json.loads(told[0])
    assert {f"leak: {name}" for name in EDGES} <= set(notes)


def test_visible_edges_of_held_out_examples_are_leaks(
    store: gs.GraphStore, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def show(view: View, asked: Tensor, labelled: Tensor) -> View:
        edge = torch.ones_like(view.edge)
        edge[asked] = False
        return replace(view, edge=edge)

    plant_view(monkeypatch, show)
    assert set(gs.audit(store, run, quick=True).leaks) == EDGES | {"edges as stored"}


def test_a_shuffled_reverse_table_is_a_leak(store: gs.GraphStore, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Excluding reverse edges by aligned edge numbers hides the wrong ones."""

    def shuffle(graph: SocialGraph) -> None:
        back = graph.edges[BACK]
        order = torch.randperm(len(back), generator=torch.Generator().manual_seed(7))
        graph.edges[BACK] = replace(back, src=back.src[order], dst=back.dst[order])

    plant_graph(monkeypatch, shuffle)
    audit = gs.audit(store, run, quick=True)
    assert {"reversed edges", "duplicate edges"} <= set(audit.leaks)
    assert verdicts(audit)["forward edges"] == "pass"


def test_duplicate_edges_are_leaks(store: gs.GraphStore, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Excluding edges by number, not by pair, leaves the second edge of a pair in the graph."""

    def by_edge(graph: SocialGraph) -> None:
        for kind in (FORWARD, BACK):
            edges = graph.edges[kind]
            assert edges.example is not None
            seen: set[int] = set()
            first = [not (one in seen or seen.add(one)) for one in edges.example.tolist()]  # type: ignore[func-returns-value]
            nobody = int(torch.nonzero(~graph.labelled)[0])
            graph.edges[kind] = replace(edges, example=torch.where(torch.tensor(first), edges.example, nobody))

    plant_graph(monkeypatch, by_edge)
    audit = gs.audit(store, run, quick=True)
    assert verdicts(audit)["duplicate edges"] == "leak"
    assert {verdicts(audit)[name] for name in ("forward edges", "reversed edges")} == {"pass"}


def test_visible_features_of_structure_edges_are_a_leak(store: gs.GraphStore, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = train(store, visibility=Visibility(predicted="structure"), seed=3)
    assert verdicts(gs.audit(store, seen, quick=True))["changed edge features"] == "pass"
    plant_view(monkeypatch, lambda view, asked, labelled: replace(view, features=torch.ones_like(view.features)))
    assert gs.audit(store, seen, quick=True).leaks == ("changed edge features",)


def test_later_edges_and_labels_are_leaks(store: gs.GraphStore, timed: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(View, "until", lambda view, graph, asked: view)
    audit = gs.audit(store, timed, quick=True)
    assert set(audit.leaks) == {"edges as stored", "labels as stored", "deleted future"}


def test_later_edges_alone_are_a_leak(store: gs.GraphStore, timed: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    until = View.until
    monkeypatch.setattr(View, "until", lambda view, graph, asked: replace(until(view, graph, asked), before=None))
    leaks = set(gs.audit(store, timed, quick=True).leaks)
    assert {"edges as stored", "deleted future"} <= leaks and "labels as stored" not in leaks


def test_visible_labels_of_seed_examples_are_leaks(
    store: gs.GraphStore, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by the view's mask, by perturbation and by the look-up."""

    def show(view: View, asked: Tensor, labelled: Tensor) -> View:
        label = view.label.clone()
        label[asked] = labelled[asked]
        return replace(view, label=label)

    plant_view(monkeypatch, show)
    audit = gs.audit(store, train(store, seed=9), quick=True)
    by_store = {"labels as stored", "replaced labels"}
    assert set(audit.leaks) == {"visible labels", "changed labels", "one-hop look-up"} | by_store


def test_a_network_that_reads_hidden_labels_is_a_leak(store: gs.GraphStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """No mask shows this one: the network ignores the view."""

    def peek(network: DestinationPriorNetwork, graph: SocialGraph, batch: Batch) -> dict[str, Tensor]:
        codes = graph.codes[batch.examples].clamp_min(0)
        return {graph.target.name: 3.0 * one_hot(codes, len(graph.classes)).float()}

    monkeypatch.setattr(DestinationPriorNetwork, "forward", peek)
    peeking = gs.train(store, "edge-emotion", model="destination-prior", features=HASHED, settings={"strength": 3.0})
    audit = gs.audit(store, peeking)
    assert set(audit.leaks) == {"changed labels", "replaced labels", "shuffled training"}


def test_users_with_two_roles_are_a_leak(tmp_path: Path) -> None:
    with gs.open(tmp_path / "s.duckdb") as store:
        write_social(store)
        split = gs.train(store, "edge-emotion", model="majority", split="source", features=HASHED)
        honest = gs.audit(store, split, quick=True)
        assert verdicts(honest)["parts kept apart"] == verdicts(honest)["split unchanged"] == "pass"
        (user,) = store.sql("select min(entity_id) from split_members where role = 'test'").fetchall()[0]
        with store.transaction():
            store.connection.execute(
                "update split_members set role = 'train' where entity_id = ? and other_id < 'i2'", [user]
            )
        audit = gs.audit(store, split, quick=True)
        assert set(audit.leaks) == {"parts kept apart", "split unchanged"}
        assert [check.examples for check in audit.checks if check.name == "parts kept apart"] == [(user,)]
        with store.transaction():
            store.connection.execute(
                "insert into split_members select split_id, entity_id, other_id, 'train' from split_members "
                "where role = 'test'"
            )
        assert set(gs.audit(store, split, quick=True).leaks) == {"parts overlap", "split unchanged"}


def test_a_user_in_both_of_nearly_disjoint_files_is_a_leak(store: gs.GraphStore, tmp_path: Path) -> None:
    """One user with training and test examples is a leak; nearly all of them is a random split."""
    pairs = store.sql(
        "select u.id as user, i.id as image from edge_user_views_image e join node_user u on u.idx = e.src "
        "join node_image i on i.idx = e.dst where len(emotions) = 1 group by all order by all"
    ).pl()

    def audited(name: str, part: pl.Expr) -> Audit:
        (tmp_path / name).mkdir()
        for (role,), rows in pairs.group_by(part):
            rows.write_csv(tmp_path / name / f"{role}.csv")
        made = gs.train(store, "edge-emotion", model="majority", split=f"file:{tmp_path / name}", features=HASHED)
        return gs.audit(store, made, quick=True)

    number = pl.col("user").str.slice(1).cast(int)
    by_user = pl.when(number < 16).then(pl.lit("train")).when(number < 18).then(pl.lit("val")).otherwise(pl.lit("test"))
    slip = pl.when((pl.col("user") == "u39") & (pl.col("image") < "i2")).then(pl.lit("train")).otherwise(by_user)
    at_random = pl.int_range(pl.len()).mod(3).replace_strict([0, 1, 2], ["train", "val", "test"])
    assert verdicts(audited("apart", by_user))["parts kept apart"] == "pass"
    planted = audited("slip", slip)
    assert planted.leaks == ("parts kept apart",)
    assert [check.examples for check in planted.checks if check.name == "parts kept apart"] == [("u39",)]
    assert verdicts(audited("random", at_random))["parts kept apart"] == "not applicable"


def test_times_in_the_wrong_role_are_a_leak(tmp_path: Path) -> None:
    with gs.open(tmp_path / "s.duckdb") as store:
        write_social(store)
        split = gs.train(store, "edge-emotion", model="majority", split="time", features=HASHED)
        with store.transaction():
            store.connection.execute(
                "update split_members set role = case role when 'train' then 'test' else 'train' end "
                "where entity_id = 'u1' and role <> 'validation'"
            )
        assert "parts kept apart" in gs.audit(store, split, quick=True).leaks


def write_hints(path: Path, **columns: Callable[[list[str], list[str]], Any]) -> gs.GraphStore:
    """Images with noisy labels, and columns of images or edges that are made from all labels."""
    random = np.random.default_rng(1)
    users, images = [f"u{n}" for n in range(30)], [f"i{n}" for n in range(40)]
    pairs = [(u, i) for u in users for i in images if random.random() < 0.3]
    label = [("awe", "fear", "joy")[random.integers(3)] for _ in pairs]
    frame = pl.DataFrame(
        {"src": [u for u, _ in pairs], "dst": [i for _, i in pairs], "emotions": [[word] for word in label]}
    )
    labels = frame.with_columns(word=pl.col("emotions").list.first())
    image = pl.DataFrame({"id": images, "size": random.normal(size=len(images))})
    made = {name: make(labels, image) for name, make in columns.items()}  # type: ignore[arg-type]
    kinds = {"share": "number", "mood": "category", "vector": "vector"}
    image_type = NodeType("image", (Column("size", "number"), *(Column(n, kinds[n]) for n in made if n in kinds)))  # type: ignore[arg-type]
    comment = [Column("comment", "text")] if "comment" in made else []
    views = EdgeType("user", "views", "image", (Column("emotions", "categories", "label"), *comment))
    likes = EdgeType("user", "likes", "image")
    store = gs.open(path)
    store.declare(GraphSchema((NodeType("user"), image_type), (views, likes)))
    store.write(NodeType("user"), pl.DataFrame({"id": users}), dataset="d")
    extra = {name: column for name, column in made.items() if name in kinds}
    store.write(image_type, image.with_columns(**extra), dataset="d")
    store.write(views, frame.with_columns(comment=made["comment"]) if comment else frame, dataset="d")
    if "likes" in made:
        store.write(likes, made["likes"], dataset="d")
    return store


def share_of_fear(labels: pl.DataFrame, image: pl.DataFrame) -> pl.Series:
    shares = labels.group_by("dst").agg((pl.col("word") == "fear").mean().alias("share"))
    return image.join(shares, left_on="id", right_on="dst", how="left", maintain_order="left")["share"]


def most_frequent(labels: pl.DataFrame, image: pl.DataFrame) -> pl.Series:
    def first(words: pl.Series) -> str:
        return min(("awe", "fear", "joy"), key=lambda word: -words.to_list().count(word))

    mood = {dst: first(part["word"]) for (dst,), part in labels.group_by("dst")}
    return pl.Series([mood.get(image_id) for image_id in image["id"]], dtype=pl.String)


PLANTS: dict[str, tuple[str, str, Callable[..., Any], dict[str, Any]]] = {
    "an average": ("averages of labels", "image.share", share_of_fear, {"share": share_of_fear}),
    "the most frequent": ("averages of labels", "image.mood", most_frequent, {"mood": most_frequent}),
    "a dimension": (
        "averages of labels",
        "image.vector[1]",
        share_of_fear,
        {"vector": lambda labels, image: pl.Series([[n % 5.0, x] for n, x in enumerate(share_of_fear(labels, image))])},
    ),
    "an edge type": (
        "other edge types",
        "user likes image",
        share_of_fear,
        {"likes": lambda labels, image: labels.filter(pl.col("word") == "awe").select("src", "dst")},
    ),
}


@pytest.mark.parametrize("plant", PLANTS)
def test_columns_computed_from_labels_are_leaks(plant: str, tmp_path: Path) -> None:
    check, column, _, made = PLANTS[plant]
    with write_hints(tmp_path / "s.duckdb", **made) as store:
        options: dict[str, Any] = {"settings": {"classes": "awe,fear,joy"}}
        run = gs.train(store, "edge-emotion", model="majority", **options)
        audit = gs.audit(store, run, quick=True)
        assert audit.leaks == (check,)
        assert [other.examples for other in audit.checks if other.name == check] == [(column,)]


def test_columns_of_neighbours_computed_from_labels_are_leaks(tmp_path: Path) -> None:
    """Examples are nodes: a column of pages is the mean label of their posts, the held-out ones included."""
    random = np.random.default_rng(0)
    pages, page = [f"a{n}" for n in range(40)], random.integers(0, 40, 240)
    written = pl.DataFrame(
        {
            "id": [f"p{n}" for n in range(240)],
            "page": [pages[n] for n in page],
            "words": random.normal(size=240),
            "mood": [("calm", "loud")[n] for n in random.integers(0, 2, 240)],
            "shares": random.exponential(10, 240),
        }
    )
    loud = written.group_by("page").agg((pl.col("mood") == "loud").mean().alias("loud"))
    frame = pl.DataFrame({"id": pages, "fans": random.normal(size=40)})
    frame = frame.join(loud, left_on="id", right_on="page", how="left", maintain_order="left")
    page_type = NodeType("page", (Column("fans", "number"), Column("loud", "number")))
    with gs.open(tmp_path / "pages.duckdb") as store:
        store.declare(GraphSchema((page_type, POST), (PUBLISHES,)))
        store.write(page_type, frame, dataset="d")
        store.write(POST, written.drop("page"), dataset="d")
        store.write(PUBLISHES, written.select(src="page", dst="id"), dataset="d")
        run = gs.train(store, reception.__file__, model="majority")
        audit = gs.audit(store, run, quick=True)
    assert audit.leaks == ("averages of labels",)
    assert [check.examples for check in audit.checks if check.verdict == "leak"] == [("page.loud",)]


def test_data_without_leaking_columns_passes(tmp_path: Path) -> None:
    with write_hints(tmp_path / "s.duckdb") as store:
        assert gs.audit(store, gs.train(store, "edge-emotion", model="majority"), quick=True).leaks == ()


@pytest.mark.parametrize(("asked", "leaks"), [("full", ("columns of edges",)), ("hidden", ())])
def test_visible_comments_that_name_the_label_are_a_leak(asked: Any, leaks: tuple[str, ...], tmp_path: Path) -> None:
    comments = {"comment": lambda labels, image: pl.Series([f"so much {word}" for word in labels["word"]])}
    with write_hints(tmp_path / "s.duckdb", **comments) as store:
        run = gs.train(
            store,
            "edge-emotion",
            model="comments-only",
            epochs=1,
            features={"user views image.comment": "hash_text"},
            visibility=Visibility(predicted=asked),
        )
        audit = gs.audit(store, run, quick=True)
        assert audit.leaks == leaks
        assert "alone predicts 100%" in details(audit)["columns of edges"]
        assert ("hides them" in details(audit)["columns of edges"]) == (asked == "hidden")


@pytest.mark.parametrize("worth", [0.0, 0.5, 1.1], ids=["whole", "mixed", "cut"])
def test_messages_are_followed_through_the_layers(
    store: gs.GraphStore, run: Run, worth: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loaders, "CUT_BELOW", worth)
    data = rebuild(store, run).data
    asked = torch.nonzero(data.roles == 1).squeeze(1)[:9]
    whole = loaders.FullGraphLoader(data.graph, data.roles, Visibility(), 3)
    for loader in (whole, loaders.NeighborLoader(whole, (3, 2, 2))):
        visible = list(messages(data.graph, next(iter(loader.batches(asked, 9)))))
        assert len({kind for kind, *_ in visible}) == len(data.graph.edges) and sum(len(ids) for *_, ids in visible)
        for kind, src, dst, ids in visible:
            edges = data.graph.edges[kind]
            assert torch.equal(src, edges.src[ids]) and torch.equal(dst, edges.dst[ids])


def test_a_sequence_feature_is_checked_by_its_mean() -> None:
    feature = Feature("x", torch.tensor([[1.0], [3.0], [7.0]]), torch.tensor([1, -1, 0]), torch.tensor([0, 2, 3]))
    np.testing.assert_array_equal(_filled(feature), [[7.0], [np.nan], [2.0]])


def test_the_gain_of_a_look_up_is_one_for_the_label_and_zero_for_noise() -> None:
    random = np.random.default_rng(0)
    codes = random.integers(0, 4, 2_000)
    assert look_up(codes + 7, codes) == 1.0
    assert look_up(np.arange(2_000), codes) == 0.0  # no other example in the cell
    assert abs(look_up(random.integers(0, 10, 2_000), codes)) < 0.1
    assert look_up(codes, np.zeros(2_000, dtype=np.int64)) == 0.0


def test_changed_data_and_unfinished_runs_are_refused(social: gs.GraphStore) -> None:
    run = gs.train(social, "edge-emotion", model="majority", features=HASHED)
    social.write(USER, pl.DataFrame({"id": ["late"]}), dataset="small")
    with pytest.raises(InputError, match=r"The data has changed since.*`link` has added edges"):
        gs.audit(social, run)
    with social.transaction():
        social.connection.execute("update runs set status = 'running'")
    with pytest.raises(InputError, match="is not done"):
        gs.audit(social, run.id)


def plant_view(monkeypatch: pytest.MonkeyPatch, change: Callable[[View, Tensor, Tensor], View]) -> None:
    """Every view of a batch is changed."""
    of = View.of.__func__  # type: ignore[attr-defined]

    def planted(
        cls: type[View], roles: Tensor, labelled: Tensor, visibility: Visibility, asked: Tensor, opposite: Tensor | None
    ) -> View:
        return change(of(cls, roles, labelled, visibility, asked, opposite), asked, labelled)

    monkeypatch.setattr(View, "of", classmethod(planted))


def plant_graph(monkeypatch: pytest.MonkeyPatch, change: Callable[[SocialGraph], None]) -> None:
    """Every graph that is built is changed."""
    build = building.build

    def planted(*arguments: Any, **named: Any) -> SocialGraph:
        graph = build(*arguments, **named)
        change(graph)
        return graph

    monkeypatch.setattr(building, "build", planted)
