"""Any column as the question: kinds are read from the column, labels are never inputs, and bad columns are refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import graphsocial as gs
from graphsocial.errors import DataError, InputError, UnknownNameError
from graphsocial.tasks import read_labels
from graphsocial.tasks.edge import Edge
from graphsocial.tasks.node import Node
from graphsocial.training.config import RunConfig, TrainOptions, design
from graphsocial.training.data import prepare
from graphsocial.types import Column, EdgeType, GraphSchema, NodeType

PERSON = NodeType(
    "person",
    (
        Column("gender", "category"),
        Column("year", "integer"),
        Column("followers", "integer"),
        Column("score", "number", minimum=0, maximum=1),
        Column("genres", "categories", "label"),
        Column("type", "category", "label"),  # also an attribute of every torch module
        Column("split", "category", "label"),  # also a column of the predictions view
        Column("number", "integer"),
        Column("same", "category"),
        Column("nothing", "number"),
        Column("about", "text"),
    ),
)
KNOWS = EdgeType("person", "knows", "person")
RATES = EdgeType(
    "person",
    "rates",
    "person",
    (
        Column("trust", "integer", "label", minimum=-10, maximum=10),
        Column("at", "timestamp"),
        Column("tags", "categories"),
    ),
    time="at",
)
SCHEMA = GraphSchema((PERSON,), (KNOWS, RATES))
COUNT = 120
FAST = {"epochs": 3, "width": 8, "node_width": 8}


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Iterator[gs.GraphStore]:
    """Two circles of friends, who share gender, genres and scores, and trust one another."""
    random = np.random.default_rng(0)
    circle = np.arange(COUNT) % 2
    genres = [[("rock", "jazz")[c], *(["pop"] if n % 3 == 0 else [])] if n % 10 else [] for n, c in enumerate(circle)]
    store = gs.open(tmp_path_factory.mktemp("people") / "people.duckdb")
    store.declare(SCHEMA)
    store.write(
        PERSON,
        pl.DataFrame(
            {
                "id": [f"p{n}" for n in range(COUNT)],
                "gender": [("m", "f")[c] for c in circle],
                "year": 2000 + circle * 4 + random.integers(0, 2, COUNT),
                "followers": np.exp(2 + 3 * circle + random.normal(0, 1, COUNT)).astype(int),
                "score": (0.2 + 0.6 * circle + random.normal(0, 0.05, COUNT)).clip(0, 1),
                "genres": genres,
                "type": [("a", "b")[c] for c in circle],
                "split": [("x", "y")[c] for c in circle],
                "number": np.arange(1000, 1000 + COUNT),
                "same": ["one"] * COUNT,
                "nothing": pl.Series([None] * COUNT, dtype=pl.Float64),
                "about": [f"text {n}" for n in range(COUNT)],
            }
        ),
        dataset="town",
    )
    src, dst = random.integers(0, COUNT, (2, 1500))
    same = (circle[src] == circle[dst]) & (src != dst)
    pairs = pl.DataFrame({"src": [f"p{n}" for n in src[same]], "dst": [f"p{n}" for n in dst[same]]}).unique()
    store.write(KNOWS, pairs.sort("src", "dst"), dataset="town")
    apart = src != dst
    store.write(
        RATES,
        pl.DataFrame(
            {
                "src": [f"p{n}" for n in src[apart]],
                "dst": [f"p{n}" for n in dst[apart]],
                "trust": np.where(circle[src] == circle[dst], 8, -6)[apart] + random.integers(-1, 2, apart.sum()),
                "at": pl.Series(np.arange(apart.sum()) * 86_400_000_000 + 1_300_000_000_000_000).cast(
                    pl.Datetime("us", "UTC")
                ),
                "tags": [["new"] if n % 2 else ["old", "x"] for n in range(apart.sum())],
            }
        ),
        dataset="town",
    )
    yield store
    store.close()


def resolved(store: gs.GraphStore, *target: str, **settings: object) -> RunConfig:
    task = "edge" if any(" " in name for name in target) else "node"
    return design(store, task, TrainOptions(settings={"target": target, **settings}))


@pytest.mark.parametrize(
    ("target", "kind", "word"),
    [
        ("person.gender", "multiclass", "multiclass"),
        ("person.genres", "multilabel", "multilabel"),
        ("person.year", "regression", "regression"),
        ("person.followers", "regression", "count"),
        ("person.score", "regression", "regression"),
        ("person rates person.trust", "regression", "regression"),
        ("person rates person.tags", "multilabel", "multilabel"),
    ],
)
def test_the_kind_is_read_from_the_column_and_recorded(
    people: gs.GraphStore, target: str, kind: str, word: str
) -> None:
    config = resolved(people, target)
    assert config.to_json()["task"]["kind"] == (word,)
    _, labels = read_labels(config.task, people, "town")
    (read,) = labels.targets
    assert (read.kind, read.name) == (kind, target.rpartition(".")[2])
    assert read.transform == ("log1p" if word == "count" else "none")


def test_a_kind_can_be_said_and_numbers_are_classes_in_their_order(people: gs.GraphStore) -> None:
    config = resolved(people, "person rates person.trust", kind="multiclass")
    _, labels = read_labels(config.task, people, "town")
    assert labels.targets[0].classes == ("-7", "-6", "-5", "7", "8", "9")
    assert any(
        "6 different values" in line
        for line in resolved(people, "person rates person.trust").task.remarks(people, "town")
    )
    assert any(
        "12 empty lists, taken as unlabelled" in line
        for line in resolved(people, "genres").task.remarks(people, "town")
    )


@pytest.mark.parametrize(
    "target", ["person.gender", "person.genres", "person.score", "person.followers", "person.type", "person.split"]
)
def test_columns_of_nodes_are_predicted_from_neighbors(people: gs.GraphStore, target: str) -> None:
    """Nothing but the friends tells the circle: the column itself, though a feature, is no input."""
    off = {f"person.{c.name}": None for c in PERSON.columns if c.role == "feature" and c.kind != "text"}
    off |= {"person.about": None}
    run = gs.train(people, "node", features=off, settings={"target": [target], "epochs": 4})
    floor = gs.train(people, "node", model="prior", features=off, settings={"target": [target]})
    name = target.rpartition(".")[2]
    (scores, least) = (part.metrics["test"][name] for part in (run, floor))
    metric = {"score": "rmse", "followers": "rmsle"}.get(name, "log_loss")
    assert scores[metric] < 0.9 * least[metric]
    view = people.sql(f"select * from person_{name}_predictions where run_id = ? and split = 'test'", [run.id]).pl()
    rows = people.sql("select count(*) from predictions where run_id = ? and split = 'test'", [run.id]).fetchall()[0][0]
    assert rows == view.height * (3 if name == "genres" else 1)
    evaluated = gs.evaluate(people, run)["targets"][name]["metrics"]
    assert {key: evaluated[key] for key in evaluated if key in scores} == pytest.approx(
        {key: scores[key] for key in evaluated if key in scores}, abs=1e-5
    )


def test_the_predicted_column_changes_nothing_that_a_model_reads(people: gs.GraphStore) -> None:
    config = resolved(people, "person.gender", "person.score")
    graph = prepare(people, config).graph
    entry, frame = graph.plain["person"]
    assert {"gender", "score"}.isdisjoint({column.name for column in entry.columns})
    assert {"gender", "score"}.isdisjoint(frame.columns)
    assert "year" in frame.columns


def test_edges_numbers_and_sets_end_to_end(people: gs.GraphStore) -> None:
    settings = {"target": ["person rates person.trust", "person rates person.tags"], **FAST}
    run = gs.train(people, "edge", settings=settings)
    for model in ("prior", "destination-prior", "bias", "features-only"):
        other = {"target": settings["target"], **({} if model in ("prior", "destination-prior") else {"epochs": 2})}
        assert gs.train(people, "edge", model=model, settings=other).metrics["test"]["trust"]["rmse"] > 0
    assert {*run.metrics["test"]} == {"trust", "tags"}
    assert 0.5 < run.metrics["test"]["trust"]["coverage"] <= 1
    least, most = people.sql("select min(value), max(value) from predictions where target = 'trust'").fetchall()[0]
    assert least >= -10 and most <= 10
    row = people.sql(
        "select trust, lower, upper, true_trust, tags, true_tags, probabilities from "
        "person_rates_person_trust_tags_predictions where run_id = ? limit 1",
        [run.id],
    ).fetchall()[0]
    assert row[1] <= row[0] <= row[2] and {*row[5]} <= {"new", "old", "x"} and {*row[6]} == {"new", "old", "x"}
    src, dst = people.sql(
        "select a.id, b.id from node_person a, node_person b where a.idx = 0 and b.idx = 1"
    ).fetchall()[0]
    assert gs.predict(people, run, ids=[(src, dst)]) == 1


@pytest.mark.parametrize(
    ("target", "error", "message"),
    [
        ("person.same", DataError, "every one is 'one'"),
        ("person.nothing", DataError, "every value is missing"),
        ("person.number", InputError, "as ids have"),
        ("person.about", InputError, "neither a class nor a number"),
        ("person.gendr", UnknownNameError, "Did you mean 'gender'"),
        ("persn.gender", UnknownNameError, "Did you mean 'person'"),
        ("person rates person.trst", UnknownNameError, "Did you mean 'trust'"),
        ("person knows person.trust", UnknownNameError, "train link"),
        ("gendre", UnknownNameError, "Did you mean"),
    ],
)
def test_bad_columns_are_a_sentence(people: gs.GraphStore, target: str, error: type[Exception], message: str) -> None:
    task = "edge" if " " in target else "node"
    with pytest.raises(error, match=message):
        gs.train(people, task, model="prior", settings={"target": [target]})


def test_other_mistakes_are_a_sentence(people: gs.GraphStore) -> None:
    for settings, message in (
        ({}, "needs a column to predict"),
        ({"target": ["person.gender", "person rates person.trust"]}, "of 2 types"),
        ({"target": ["person.gender", "person.gender"]}, "twice"),
        ({"target": ["person.gender"], "kind": "regression"}, "no number"),
        ({"target": ["person.gender"], "kind": "ordinal"}, "multiclass"),
        ({"target": ["person rates person.trust"]}, "type of edges"),
        ({"target": ["person.gender"], "label_time": "year"}, "no time"),
    ):
        with pytest.raises(InputError, match=message):
            gs.train(people, "node", model="prior", settings=settings)
    for task in (Node(), Edge()):
        with pytest.raises(InputError, match="needs a column to predict"):
            task.entity(people.schema)


def test_more_than_100_classes_are_said_and_not_refused(people: gs.GraphStore) -> None:
    config = resolved(people, "person.about", kind="multiclass")
    assert any("120 classes" in line for line in config.task.remarks(people, "town"))
    assert read_labels(config.task, people, "town")[1].targets[0].classes[0] == "text 0"


def test_types_of_other_datasets_do_not_disturb(people: gs.GraphStore, tmp_path: Path) -> None:
    with gs.open(tmp_path / "two.duckdb") as store:
        for name in ("one", "two"):
            node = NodeType(name, (Column("mood", "category", "label"),))
            store.declare(GraphSchema((node,)))
            store.write(
                node, pl.DataFrame({"id": [f"{n}" for n in range(60)], "mood": ["a", "b"] * 30}), dataset=f"data_{name}"
            )
        run = gs.train(store, "node", model="prior", dataset="data_two", settings={"target": ["mood"]})
        assert run.config["task"]["target"] == ["two.mood"]


@pytest.mark.parametrize("target", ["person.genres", "person.score"])
def test_judgements_of_runs_take_several_labels_and_numbers(people: gs.GraphStore, target: str) -> None:
    """Audit, comparison and explanation of what is no single class."""
    run = gs.train(people, "node", settings={"target": [target], "epochs": 2, "width": 8})
    floor = gs.train(people, "node", model="prior", settings={"target": [target]})
    checks = {check.name: check.verdict for check in gs.audit(people, run, quick=True).checks}
    assert {checks[name] for name in ("labels as stored", "visible labels", "changed labels")} == {"pass"}
    if target == "person.genres":
        with pytest.raises(InputError, match="several labels"):
            gs.compare(people, [run, floor])
    else:
        assert gs.compare(people, [run, floor], samples=100)
    gs.explain(people, run, limit=5)
