"""Popularity: nothing that is known of a post comes from later than two days before it, and all models answer."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml

import graphsocial as gs
from graphsocial.errors import DataError, InputError
from graphsocial.prediction.embedding import embed
from graphsocial.synthesis import SyntheticNotes, synthesize
from graphsocial.tasks.popularity import Popularity, class_names, log_classes
from graphsocial.types import Column, EdgeType, GraphSchema, NodeType

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
START = datetime(2024, 3, 1, tzinfo=timezone.utc)
POST = NodeType(
    "post",
    (
        Column("message", "text"),
        Column("type", "category"),
        Column("published", "timestamp"),
        Column("shares", "integer", "label"),
        Column("likes", "integer", "label"),
    ),
    time="published",
)
PAGE = NodeType("page")
PUBLISHES = EdgeType("page", "publishes", "post", (Column("published", "timestamp"),), time="published")


def posts(count: int = 60, seed: int = 0) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    hours = np.sort(random.uniform(0, 40 * 24, count))
    return pl.DataFrame(
        {
            "id": [f"p{n}" for n in range(count)],
            "message": [None if n % 7 == 0 else "Look at THIS! #new " * (n % 4) for n in range(count)],
            "type": [("photo", "link")[n % 2] for n in range(count)],
            "published": [START + timedelta(hours=float(hour)) for hour in hours],
            "shares": [None if n % 11 == 0 else int(x) for n, x in enumerate(random.lognormal(3, 1, count))],
            "likes": random.integers(0, 500, count),
            "page": [("a", "b", "c")[n % 3] for n in range(count)],
        }
    )


def write(path: Path, frame: pl.DataFrame) -> gs.GraphStore:
    store = gs.open(path)
    store.declare(GraphSchema((POST, PAGE), (PUBLISHES,)))
    store.write(POST, frame.drop("page"), dataset="posts")
    store.write(PAGE, pl.DataFrame({"id": ["a", "b", "c"]}), dataset="posts")
    edges = frame.select(pl.col("page").alias("src"), pl.col("id").alias("dst"), "published")
    store.write(PUBLISHES, edges, dataset="posts")
    return store


def context(store: gs.GraphStore, **settings: object) -> pl.DataFrame:
    labels = Popularity(**settings).labels(store, "posts")  # type: ignore[arg-type]
    assert labels.context is not None and labels.context.rows.height == len(labels)
    ids = store.sql("select id from node_post order by idx").pl()
    return pl.concat([ids, labels.context.rows], how="horizontal")


def test_history_is_what_the_page_did_two_days_before(tmp_path: Path) -> None:
    frame = posts()
    with write(tmp_path / "s.duckdb", frame) as store:
        contexts = {row["id"]: row for row in context(store).to_dicts()}
    rows = frame.to_dicts()
    for post in rows:
        before = [
            other
            for other in rows
            if other["page"] == post["page"] and other["published"] <= post["published"] - timedelta(hours=48)
        ]
        week = [other for other in before if other["published"] >= post["published"] - timedelta(days=7)]
        logged = [np.log1p(other["shares"]) for other in week if other["shares"] is not None]
        got = contexts[post["id"]]
        assert got["page_mean_7"] == (pytest.approx(np.mean(logged)) if logged else None)
        assert got["page_deviation_7"] == (pytest.approx(np.std(logged)) if logged else None)
        assert got["page_posts_7"] == pytest.approx(np.log1p(len(week)))
        alike = [np.log1p(o["shares"]) for o in before if o["type"] == post["type"] and o["shares"] is not None]
        assert got["page_type_mean"] == (pytest.approx(np.mean(alike)) if alike else None)
        day = [
            other
            for other in rows
            if other["page"] == post["page"]
            and post["published"] - timedelta(hours=24) <= other["published"] < post["published"]
        ]
        assert got["page_day"] == pytest.approx(np.log1p(len(day)))


@pytest.mark.parametrize("position", [15, 30, 59])
def test_later_posts_change_no_context_and_no_label(tmp_path: Path, position: int) -> None:
    frame = posts()
    moment = frame["published"][position]
    with write(tmp_path / "all.duckdb", frame) as store:
        whole = context(store, likability=True).head(position + 1)
        labels = Popularity().labels(store, "posts", as_of=moment)
    unknown_yet = frame["published"] > moment - timedelta(hours=48)
    cut = frame.with_columns(pl.when(unknown_yet).then(None).otherwise(pl.col("shares")).alias("shares"))
    with write(tmp_path / "cut.duckdb", cut.head(position + 1)) as store:
        alone = context(store, likability=True)
    assert whole.equals(alone)
    assert len(labels) == position + 1


def test_content_of_texts_and_times(tmp_path: Path) -> None:
    with write(tmp_path / "s.duckdb", posts()) as store:
        frame = context(store)
        columns = Popularity(likability=True).labels(store, "posts").context
        forecast = Popularity().labels(store, "posts").context
    first, second = frame.row(0, named=True), frame.row(2, named=True)
    assert first["message_length"] is None and second["message_length"] == pytest.approx(np.log1p(38))
    assert second["message_exclamations"] == pytest.approx(np.log1p(2)) == second["message_hashtags"]
    assert second["message_capitals"] == pytest.approx(10 / 39)
    assert second["hour"] == str(posts()["published"][2].hour)
    for known, role in ((columns, "reference"), (forecast, "label")):
        assert known is not None and [c.role for c in known.columns if c.name == "likes"] == [role]


def test_answers_are_counts_and_their_log_classes(tmp_path: Path) -> None:
    with write(tmp_path / "s.duckdb", posts()) as store:
        labels = Popularity(hours=24).labels(store, "posts")
    shares = posts()["shares"].to_numpy()
    assert np.array_equal(labels.target_labels["shares"], shares, equal_nan=True)
    assert (
        np.array_equal(labels.target_labels["popularity"], log_classes(shares))
        and (labels.target_labels["popularity"] < 0).sum() == 6
    )
    assert labels.label_time is not None and labels.times is not None
    assert (labels.label_time - labels.times == np.timedelta64(24, "h")).all()
    for name, low in zip(
        class_names(), (0, 2, 7, 20, 54, 148, 403, 1096, 2980, 8103, 22026, 59874, 162754), strict=True
    ):
        assert name.startswith(str(low)) and class_names()[log_classes(np.array([float(low)]))[0]] == name


def test_data_without_anything_to_learn_and_wrong_settings_are_errors(tmp_path: Path) -> None:
    with (
        write(tmp_path / "same.duckdb", posts().with_columns(pl.lit(3, pl.Int64).alias("shares"))) as store,
        pytest.raises(DataError, match="all 60 with 'shares' have equally many"),
    ):
        Popularity().labels(store, "posts")
    negative = posts().with_columns(pl.when(pl.col("id") == "p1").then(-1).otherwise("shares").alias("shares"))
    with (
        write(tmp_path / "negative.duckdb", negative) as store,
        pytest.raises(
            DataError, match=r"1 'post' nodes of 'posts' have less than 0 'shares', such as -1.*`minimum: 0`"
        ),
    ):
        Popularity().labels(store, "posts")
    with (
        write(tmp_path / "s.duckdb", posts()) as store,
        pytest.raises(InputError, match="no column 'hearts' for likability"),
    ):
        Popularity(likability=True, likes="hearts").labels(store, "posts")
    with pytest.raises(InputError, match="hours and class_loss"):
        Popularity(hours=-1)


QUICK = {"width": 32, "channels": 4, "tokens": 4, "batch_size": 128}


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[gs.GraphStore]:
    folder = tmp_path_factory.mktemp("popularity")
    settings = SyntheticNotes(notes=1500, authors=40, author=0.8, content=0.5, likability=1.2, noise=0.3)
    synthesize("notes", folder / "notes", settings=settings)
    with gs.open(folder / "s.duckdb") as store:
        gs.ingest(store, "xiaohongshu", folder / "notes")
        yield store


def train(store: gs.GraphStore, model: str | None = None, epochs: int = 6, **settings: object) -> gs.Run:
    given = {**(QUICK if model is None else {}), "task.likability": True, **settings}
    features = {"note.text": None, "note.title": None}
    return gs.train(store, "popularity", model=model, epochs=epochs, features=features, settings=given)


@pytest.mark.slow
def test_eijl_beats_its_baselines_and_its_intervals_hold(notes: gs.GraphStore) -> None:
    run = train(notes, epochs=15)
    floors = [train(notes, name) for name in ("majority", "neighbour_median", "likes_only")]
    scores = [one.metrics["test"]["shares"]["rmsle"] for one in (run, *floors)]
    assert scores[0] < 0.9 * min(scores[1:]) and scores[2] < scores[1] > scores[3]
    assert 0.84 < run.metrics["test"]["shares"]["coverage"] < 0.97
    assert run.metrics["test"]["popularity"]["accuracy"] > floors[0].metrics["test"]["popularity"]["accuracy"]
    rows = notes.sql(
        "select count(*), bool_and(lower <= shares and shares <= upper), count(popularity), min(true_shares) >= 0 "
        "from popularity_predictions where run_id = ? and split = 'test'",
        [run.id],
    ).fetchall()
    assert rows == [(150, True, 150, True)]
    assert gs.evaluate(notes, run)["targets"]["shares"]["metrics"] == pytest.approx(run.metrics["test"]["shares"])
    before = notes.sql("select * from popularity_predictions where run_id = ? order by post_id", [run.id]).pl()
    gs.predict(notes, run)
    after = notes.sql("select * from popularity_predictions where run_id = ? order by post_id", [run.id]).pl()
    assert after.drop("created_at").equals(before.drop("created_at"))


def test_ablations_attribute_predictions_to_their_inputs(notes: gs.GraphStore) -> None:
    run = train(notes, epochs=2)
    explained = gs.explain(notes, run, limit=8, top=2)
    assert set(explained["kind"]) == {"modality", "gate", "neighbour"}
    assert set(explained["target"]) == {"popularity", "shares"}
    context = explained.filter(kind="modality", target="shares").filter(pl.col("name").str.starts_with("context."))
    assert "context.likes" in set(context["name"])
    assert context.filter(name="context.likes")["value"].abs().max() > 0
    gates = explained.filter(kind="gate")
    assert set(gates["name"]) == {"learned place", "note.text_vector", "note.cover_vector"}
    sums = gates.group_by("target", "entity_id").agg(pl.col("value").sum())["value"].to_numpy()
    np.testing.assert_allclose(sums, 1, atol=1e-5)
    neighbors = explained.filter(kind="neighbour")
    assert set(neighbors["neighbour_type"]) == {"author", "brand"}
    assert neighbors["value"].max() == 1  # one of each relation
    vectors = embed(notes, run)
    assert vectors.rows == 1500 and vectors.use.dimension == QUICK["width"]


def test_each_part_can_be_left_out(notes: gs.GraphStore) -> None:
    paper = yaml.safe_load((EXAMPLES / "settings" / "eijl_paper.yaml").read_text())
    printed = {f"{part}.{name}": value for part, given in paper.items() for name, value in given.items()}
    for settings in (printed, {"branches": "joint"}, {"branches": "none"}, {"joint": False, "attention": False}):
        run = train(notes, epochs=1, **settings)
        assert run.metrics["test"]["shares"]["rmsle"] < 5
    assert (
        "transductive"
        not in notes.sql("select notes from runs where config->>'$.model.graph' = 'false'").fetchall()[0][0]
    )


def test_a_note_without_any_vector_is_answered(notes: gs.GraphStore) -> None:
    notes.connection.execute("update node_note set text_vector = null, cover_vector = null where idx % 50 = 0")
    run = train(notes, epochs=1, context=False, projection=False, graph=False)
    missing = notes.sql(
        "select count(*) filter (isfinite(value)) from predictions p join node_note n on n.id = p.entity_id "
        "where run_id = ? and target = 'shares' and n.idx % 50 = 0",
        [run.id],
    ).fetchall()
    assert missing[0][0] > 0


def test_baselines_say_what_they_need(notes: gs.GraphStore) -> None:
    with pytest.raises(InputError, match="needs the likes of the nodes"):
        train(notes, "likes_only", **{"task.likability": False, "likes": "hearts"})
    with pytest.raises(InputError, match="known: 'author posts note', 'note promotes brand'"):
        train(notes, "neighbour_median", edge="note of page")


@pytest.mark.slow
def test_the_emotional_interaction_layer_helps_where_emotions_count(tmp_path: Path) -> None:
    """EIJL's experiments 6 and 8: on planted effects the layer lowers the error, without any it changes little."""
    errors: dict[str, list[float]] = {}
    for name, planted in (("effects", 1.0), ("none", 0.0)):
        plain = SyntheticNotes()
        effects = {term: planted * 1.5 * size for term, size in plain.coefficients.items()}
        synthesize("notes", tmp_path / name, settings=SyntheticNotes(notes=3000, content=0.5, noise=0.3, **effects))
        with gs.open(tmp_path / f"{name}.duckdb") as store:
            gs.ingest(store, "xiaohongshu", tmp_path / name)
            paper = {"graph": False, "projection": False, "context": False, "history": False, "batch_size": 128}
            for emotion in (False, True):
                run = train(store, epochs=15, emotion=emotion, **paper)
                errors.setdefault(name, []).append(run.metrics["test"]["shares"]["rmsle"])
    assert errors["effects"][1] < 0.93 * errors["effects"][0]
    assert errors["none"][1] == pytest.approx(errors["none"][0], rel=0.03)


def test_similar_posts_say_how_they_were_shared_two_days_before(tmp_path: Path) -> None:
    frame = posts()
    vectors = np.random.default_rng(1).normal(size=(len(frame), 3))
    with write(tmp_path / "s.duckdb", frame) as store:
        store.declare(GraphSchema((NodeType("post", (Column("vector", "vector"),)),)))
        store.connection.register("v", pl.DataFrame({"n": range(len(frame)), "vector": vectors.tolist()}).to_arrow())
        store.connection.execute("update node_post set vector = v.vector from v where v.n = idx")
        before = context(store)
        gs.link(store, "post", "vector", k=6, minimum=-1)
        contexts = {row["id"]: row for row in context(store).to_dicts()}
        assert context(store).select(before.columns).equals(before)
        edges: dict[str, list[tuple[str, float]]] = {}
        for src, dst, cosine in store.sql(
            "select s.id, d.id, similarity from edge_post_similar_post as e join node_post as s on s.idx = e.src "
            "join node_post as d on d.idx = e.dst"
        ).fetchall():
            edges.setdefault(dst, []).append((src, cosine))
        moment = frame["published"][40]
        early = Popularity().labels(store, "posts", as_of=moment).context
    assert early is not None
    rows = {row["id"]: row for row in frame.to_dicts()}
    both = 0
    for name, post in rows.items():
        known = [
            (np.log1p(rows[src]["shares"]), np.exp(20 * (cosine - 1)), cosine, rows[src]["page"] == post["page"])
            for src, cosine in edges.get(name, [])
            if rows[src]["shares"] is not None and rows[src]["published"] <= post["published"] - timedelta(hours=48)
        ]
        got = contexts[name]
        if not known:
            assert got["similar_mean"] is None and got["similar_nearest"] is None
            continue
        logged, weight, cosine, same = (np.array(part) for part in zip(*known, strict=True))
        assert got["similar_mean"] == pytest.approx((logged * weight).sum() / weight.sum())
        assert got["similar_posts"] == pytest.approx(np.log1p(weight.sum()))
        assert got["similar_nearest"] == pytest.approx(cosine.max())
        assert got["similar_page_posts"] == pytest.approx(np.log1p((weight * same).sum()))
        mean = (logged * weight * same).sum() / (weight * same).sum() if same.any() else None
        assert got["similar_page_mean"] == (pytest.approx(mean) if same.any() else None)
        both += bool(same.any() and not same.all())
    assert both > 10
    whole = [contexts[name]["similar_mean"] for name in frame["id"]]
    assert early.rows["similar_mean"].to_list() == pytest.approx(whole[: early.rows.height])


def test_runs_with_context_are_audited_and_explained(notes: gs.GraphStore) -> None:
    run = train(notes, epochs=2)
    audited = gs.audit(notes, run, quick=True)
    verdicts = {check.name: check.verdict for check in audited.checks}
    assert verdicts["edges as stored"] == verdicts["deleted future"] == "pass" and not audited.leaks
    rows = gs.explain(notes, run, split="test", limit=6).filter(pl.col("kind") == "modality")
    effects = {name: part["value"].abs().max() for (name,), part in rows.partition_by("name", as_dict=True).items()}
    assert {"context.form", "context.emotion", "context.author", "context.likes", "author posts note"} <= set(effects)
    assert all(effects[f"context.{part}"] > 0 for part in ("form", "author", "emotion", "likes"))  # type: ignore[operator]


def test_a_prediction_does_not_depend_on_the_other_posts_of_its_batch(notes: gs.GraphStore) -> None:
    gs.link(notes, "note", "text_vector", k=4)
    edge = notes.schema.edge("note similar note")
    run = train(notes, epochs=2)
    assert str(edge) in run.config["edge_types"]
    rows = "select entity_id, value from predictions where run_id = ? and target = 'shares' and split = 'test'"
    together = dict(notes.sql(rows, [run.id]).fetchall())
    chosen = sorted(together)[:3]
    gs.predict(notes, run, ids=chosen)
    alone = dict(notes.sql(rows, [run.id]).fetchall())
    assert [alone[name] for name in chosen] == pytest.approx([together[name] for name in chosen], rel=1e-4)
    effects = gs.explain(notes, run, split="test", limit=5).filter(kind="modality", target="shares")
    assert effects.filter(pl.col("name") == str(edge))["value"].abs().max() > 0  # type: ignore[operator]
    assert effects.filter(pl.col("name") == "context.similar")["value"].abs().max() > 0  # type: ignore[operator]
    notes.clear(edge, "notes")
    with pytest.raises(
        InputError, match="passes messages along 'note similar note', of which 'notes' has no edges now"
    ):
        gs.predict(notes, run)
