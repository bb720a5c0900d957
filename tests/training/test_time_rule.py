"""Nothing later than an example reaches its prediction: cases with answers in the future, and random data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from random_data import AT, HOUR, SIDE, START, generated, ids, moments, shuffled, until, write

import graphsocial as gs
from graphsocial.errors import GraphSocialError, InputError
from graphsocial.graph import SocialGraph
from graphsocial.graph.loaders import FullGraphLoader, Loader, NeighborLoader
from graphsocial.graph.visibility import Visibility
from graphsocial.models.base import Network, build_network, predict_batch
from graphsocial.training.config import TrainOptions, design
from graphsocial.training.data import build
from graphsocial.training.encoding import encode
from graphsocial.types import Column, EdgeType, NodeType

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def store(tmp_path: Path) -> gs.GraphStore:
    return gs.open(tmp_path / "data.duckdb")


@pytest.mark.parametrize("features", ["hash_text", pytest.param("hash_text,to=user", marks=pytest.mark.slow)])
def test_a_text_that_is_written_later_tells_nothing(store: gs.GraphStore, features: str) -> None:
    """A day after each rating the user writes a comment that names the emotion in half of the cases."""
    random, n = np.random.default_rng(0), 2500
    users, images = random.integers(0, 800, n), np.arange(n) % 100
    emotions, times = (
        random.choice(["joy", "anger", "fear", "calm"], n),
        START + np.sort(random.integers(0, 9000, n)) * HOUR,
    )
    bodies = [f"{emotion} indeed" if random.random() < 0.5 else "nothing to add" for emotion in emotions]
    later, comments = moments(times + 24 * HOUR), ids("c", range(n))
    write(
        store,
        {
            NodeType("user"): {"id": ids("u", range(800))},
            NodeType("image"): {"id": ids("i", range(100))},
            NodeType("comment", (Column("body", "text"), AT), time="at"): {"id": comments, "body": bodies, "at": later},
            EdgeType("user", "rates", "image", (Column("emotions", "category", "label"), AT), time="at"): {
                "src": ids("u", users),
                "dst": ids("i", images),
                "emotions": emotions,
                "at": moments(times),
            },
            EdgeType("user", "writes", "comment", (AT,), time="at"): {
                "src": ids("u", users),
                "dst": comments,
                "at": later,
            },
        },
    )
    run = gs.train(
        store,
        "edge-emotion",
        split="time",
        features={"comment.body": features},
        epochs=15,
        settings={"layers": 2, "width": 16, "batch_size": 256},
    )
    assert run.metrics["test"]["emotion"]["weighted_f1"] < 0.35


def test_a_reply_that_is_written_later_tells_nothing(store: gs.GraphStore) -> None:
    """An edge without a time exists from the later one of its endpoints' times on."""
    random, n = np.random.default_rng(0), 1500
    shares = np.floor(np.exp(random.normal(3, 1.5, n))).astype(int)
    times = START + np.sort(random.integers(0, 9000, n)) * HOUR
    told = [f"level {chr(97 + int(np.log1p(s))) * 3}" if random.random() < 0.6 else "who knows" for s in shares]
    posts, replies = ids("p", range(n)), ids("r", range(n))
    write(
        store,
        {
            NodeType("post", (Column("text", "text"), Column("shares", "integer", "label"), AT), time="at"): {
                "id": posts + replies,
                "text": ["hello there"] * n + told,
                "shares": [*shares.tolist(), *[None] * n],
                "at": moments(np.concatenate([times, times + 24 * HOUR])),
            },
            EdgeType("post", "answers", "post"): {"src": replies, "dst": posts},
        },
    )
    run = gs.train(
        store,
        "popularity",
        split="time",
        features={"post.text": "hash_text"},
        epochs=10,
        settings={"history": False},
    )
    assert run.metrics["test"]["popularity"]["weighted_f1"] < 0.4
    assert abs(run.metrics["test"]["shares"]["spearman"]) < 0.25


def test_nodes_with_texts_pass_messages_and_lend_no_means(store: gs.GraphStore, tmp_path: Path) -> None:
    """The texts of a user's posts tell the user's side; a model without edges cannot know."""
    random, users, posts = np.random.default_rng(0), 300, 2400
    side, author = random.integers(0, 2, users), random.integers(0, users, posts)
    texts = ["left" if random.random() < (0.2, 0.8)[side[user]] else "right" for user in author]
    write(
        store,
        {
            NodeType("user", (Column("side", "category", "label"),)): {
                "id": ids("u", range(users)),
                "side": np.array(["a", "b"])[side],
            },
            NodeType("post", (Column("text", "text"),)): {"id": ids("p", range(posts)), "text": texts},
            EdgeType("user", "writes", "post"): {"src": ids("u", author), "dst": ids("p", range(posts))},
        },
    )
    (tmp_path / "side.py").write_text(SIDE)
    task, scores = str(tmp_path / "side.py"), {}
    for model, spec in (
        (str(EXAMPLES / "custom_model.py"), "hash_text"),
        ("features_only", "hash_text"),
        ("features_only", "hash_text,to=user"),
    ):
        run = gs.train(store, task, model=model, features={"post.text": spec}, epochs=20)
        scores[Path(model).stem, spec] = run.metrics["test"]["side"]["weighted_f1"]
        (row,) = store.sql("select * exclude run_id from run_edges where run_id = ?", [run.id]).fetchall()
        edge = ("user writes post", posts)
        assert row == (
            (*edge, posts, posts, None) if model.endswith(".py") else (*edge, None, None, f"{model} passes no messages")
        )
    assert scores["custom_model", "hash_text"] > 0.85 > 0.65 > scores["features_only", "hash_text"]
    assert scores["features_only", "hash_text,to=user"] > 0.85, "means are asked for"


def graph_of(folder: Path, tables: Mapping[NodeType | EdgeType, pl.DataFrame], task: str, to: str) -> SocialGraph:
    with gs.open(folder / "data.duckdb") as store:
        write(store, {entry: frame.to_dict() for entry, frame in tables.items()})
        texts = [f"{entry}.text" for entry in tables if any(column.name == "text" for column in entry.columns)]
        means = {
            "note.text": ",to=user/item" if to == "all" else ",to=item",
            "user.text": ",to=note" if to == "all" else "",
        }
        features = {name: f"hash_text,dimension=8{means.get(name, '')}" for name in texts}
        config = design(store, task, TrainOptions(model=str(EXAMPLES / "custom_model.py"), features=features))
        entity = config.task.entity(store.schema)
        return build(store, config, entity, config.task.labels(store, "data"), encode(store, config, entity))


def loaders(graph: SocialGraph, depth: int) -> list[Loader]:
    roles = torch.zeros(graph.num_examples, dtype=torch.int64)
    whole = FullGraphLoader(graph, roles, Visibility(), depth, temporal=True)
    return [whole, NeighborLoader(whole, (-1,) * depth)]


def outputs(network: Network, loader: Loader, example: int) -> dict[str, torch.Tensor]:
    (batch,) = loader.load([torch.tensor([example])])
    with torch.no_grad():
        return predict_batch(network.eval(), loader.graph, batch)


@settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=(Phase.explicit, Phase.reuse, Phase.generate),  # each example takes a second: too slow to shrink
)
@given(data=st.data())
def test_what_is_later_than_an_example_changes_nothing_of_its_prediction(data: st.DataObject) -> None:
    tables, task = data.draw(st.composite(generated)())
    depth, to = data.draw(st.integers(1, 3)), data.draw(st.sampled_from(["some", "all"]))
    with TemporaryDirectory() as folder:
        (Path(folder) / "side.py").write_text(SIDE)
        task = str(Path(folder) / "side.py") if task == "side" else task
        full = graph_of(Path(folder), tables, task, to).fit_tabular(np.arange(2))
        assert full.example_time is not None
        known = torch.nonzero(full.example_time < 2**62).squeeze(1).tolist()
        example = data.draw(st.sampled_from(known))
        pair = [end[example] for end in full.example_ids()]
        (Path(folder) / "before").mkdir()
        cut = graph_of(Path(folder) / "before", until(tables, int(full.example_time[example])), task, to)
        cut = cut.with_tabular_state(full.tabular_state())
        same = [n for n, ends in enumerate(zip(*cut.example_ids(), strict=True)) if list(ends) == pair]
        assume(same)  # else an endpoint of the pair is later than its edge
        model = design_model(task, depth)
        torch.manual_seed(0)
        network = build_network(model, full, torch.arange(2), seed=0)
        expected = [outputs(network, loader, example) for loader in loaders(full, depth)]
        found = [outputs(network, loader, same[0]) for loader in loaders(cut, depth)]
    for one, other in zip(expected, found, strict=True):
        for name in one:
            torch.testing.assert_close(other[name], one[name], rtol=1e-5, atol=1e-5)


@settings(
    max_examples=7,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)
@given(data=st.data())
def test_exchanging_what_a_test_example_must_not_see_changes_no_score(data: st.DataObject) -> None:
    """By the commands: a trained run predicts again after the data was written anew with the future exchanged."""
    tables, task = data.draw(st.composite(generated)())
    about_edges = task == "edge-emotion"
    splits = ["time", "random", "group:at", *(["source", "destination"] if about_edges else [])]
    split = data.draw(st.sampled_from(splits))
    loader, depth = data.draw(st.sampled_from(["full", "sampled"])), data.draw(st.integers(1, 3))
    with TemporaryDirectory() as folder, gs.open(Path(folder) / "data.duckdb") as store:
        (Path(folder) / "side.py").write_text(SIDE)
        write(store, {entry: frame.to_dict() for entry, frame in tables.items()})
        texts = [f"{entry}.text" for entry in tables if any(column.name == "text" for column in entry.columns)]
        options = {"layers": depth, "width": 8, "loader": loader, "fanouts": "2"}
        try:
            run = gs.train(
                store,
                task if about_edges else str(Path(folder) / "side.py"),
                model="hmg_emo" if about_edges and depth > 1 else str(EXAMPLES / "custom_model.py"),
                split=split,
                features={name: f"hash_text,dimension=8{',to=item' if 'note' in name else ''}" for name in texts},
                epochs=1,
                settings=options,
            )
        except GraphSocialError:
            assume(False)
        before = predictions(store, run)
        example = data.draw(st.sampled_from(sorted(before)))
        entry = next(entry for entry in tables if str(entry) == ("user rates item" if about_edges else "user"))
        keys, label = (["src", "dst"], "emotions") if about_edges else (["id"], "side")
        held_out = pl.DataFrame(list(before), schema=keys, orient="row")
        moment = None
        if split == "time":
            own = pl.DataFrame([example], schema=keys, orient="row")
            rows = tables[entry].join(own, on=keys).drop_nulls(label)  # a pair's time is that of its first label
            moment = rows["at"].dt.timestamp("us").min()
            assume(moment is not None)
            held_out = own
        store.remove("data")
        write(store, {e: f.to_dict() for e, f in shuffled(tables, moment, held_out, label, run.seed).items()})
        gs.predict(store, run)
        after = predictions(store, run)
    for key in [example] if split == "time" else before:
        assert after[key] == pytest.approx(before[key], abs=1e-5)


def predictions(store: gs.GraphStore, run: gs.Run) -> dict[tuple[str, ...], list[float]]:
    """The endpoints' ids of each test example → its class probabilities."""
    rows = store.sql(
        "select entity_id, other_id, map_values(probabilities) from predictions where run_id = ? and split = 'test'",
        [run.id],
    ).fetchall()
    return {tuple(end for end in ends if end is not None): values for *ends, values in rows}


def design_model(task: str, depth: int) -> Any:
    from graphsocial.plugins import configure, resolve

    if task == "edge-emotion" and depth > 1:
        return configure(resolve("model", "hmg_emo"), {"layers": depth, "width": 8, "node_width": 8})
    return configure(resolve("model", str(EXAMPLES / "custom_model.py")), {"layers": depth, "width": 8})


def test_a_mean_over_supervised_edges_alone_is_refused(store: gs.GraphStore) -> None:
    random = np.random.default_rng(0)
    write(
        store,
        {
            NodeType("user"): {"id": ids("u", range(20))},
            NodeType("image", (Column("title", "text"),)): {"id": ids("i", range(20)), "title": ["a"] * 20},
            EdgeType("user", "rates", "image", (Column("emotions", "category", "label"),)): {
                "src": ids("u", random.integers(0, 20, 90)),
                "dst": ids("i", random.integers(0, 20, 90)),
                "emotions": random.choice(["joy", "fear"], 90),
            },
        },
    )
    with pytest.raises(InputError, match="No edges of 'data', but for supervised ones, join 'image' and 'user'"):
        gs.train(store, "edge-emotion", features={"image.title": "hash_text,to=user"})
