"""Training: the same seed gives the same numbers, a killed run goes on, probabilities are honest, errors are clear."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
import yaml
from conftest import IMAGE, USER, VIEWS

import graphsocial as gs
from graphsocial import runs
from graphsocial._compat.hashing import hash_tensors
from graphsocial.errors import DataError, InputError, TrainingError, UnknownNameError
from graphsocial.plugins import names
from graphsocial.runs import weights
from graphsocial.tasks.edge_emotion import EdgeEmotion
from graphsocial.training.config import RunConfig, TrainOptions, design
from graphsocial.training.data import prepare
from graphsocial.training.loop import fit
from graphsocial.training.settings import TrainingConfig
from graphsocial.types import GraphSchema

SMALL = {"layers": 2, "width": 16, "node_width": 16, "edge_width": 16, "epochs": 4, "batch_size": 64}
HASHED = {"group.description": "hash_text", "user views image.comment": "hash_text"}


def train(store: gs.GraphStore, **options: object) -> runs.Run:
    settings = {**SMALL, **options.pop("settings", {})}  # type: ignore[dict-item]
    return gs.train(store, "edge-emotion", settings=settings, features=HASHED, **options)  # type: ignore[arg-type]


def probabilities(store: gs.GraphStore, run: runs.Run) -> list[tuple[object, ...]]:
    return store.sql(
        "select entity_id, other_id, label, confidence, map_values(probabilities) from predictions where run_id = ? "
        "order by entity_id, other_id",
        [run.id],
    ).fetchall()


def test_a_run_is_recorded_with_all_that_made_it(social: gs.GraphStore) -> None:
    run = train(social)
    assert run.status == "done"
    assert set(run.metrics) == {"validation", "test"}
    row = social.sql("select * from runs where run_id = ?", [run.id]).pl().to_dicts()[0]
    assert row["data_hash"] == social.data_hash("small")
    assert json.loads(row["versions"])["torch"] == torch.__version__
    assert set(json.loads(row["feature_sets"])) == set(HASHED)
    assert json.loads(row["config"])["model"]["layers"] == 2
    assert row["wall_seconds"] > 0
    assert row["peak_memory_mib"] > 50
    content, hashed = social.first("select content, checkpoint_hash from weights join runs using (run_id)")  # type: ignore[misc]
    assert hash_tensors(content) == hashed
    assert not social.path.with_suffix(".runs").exists()
    epochs = social.sql("select epoch, train_loss from run_epochs where run_id = ? order by epoch", [run.id]).fetchall()
    assert [epoch for epoch, _ in epochs] == [1, 2, 3, 4]
    assert social.sql("select count(*) from leaderboard").fetchall() == [(1,)]


def test_predictions_use_the_source_s_ids_and_join(social: gs.GraphStore) -> None:
    run = train(social)
    joined = social.sql(
        "select p.split, count(*) from edge_emotion_predictions p join node_user u on u.id = p.user_id "
        "join node_image i on i.id = p.image_id where run_id = ? group by all",
        [run.id],
    ).fetchall()
    members = dict(social.sql("select role, count(*) from split_members group by all").fetchall())
    counts = dict(joined)
    assert counts["test"] == members["test"]
    assert counts["validation"] == members["validation"]
    assert counts[None] > 0  # pairs without a single label are labelled too
    assert "train" not in counts
    rows = social.sql(
        "select label, confidence, probabilities, true_label, split from predictions where run_id = ?", [run.id]
    ).fetchall()
    for label, confidence, shares, truth, split in rows:
        assert sum(shares.values()) == pytest.approx(1, abs=1e-5)
        assert shares[label] == max(shares.values()) == pytest.approx(confidence)
        assert (truth is None) == (split is None)
    wrong = social.sql("select count(*) from errors where run_id = ?", [run.id]).fetchall()[0][0]
    assert wrong == sum(1 for label, _, _, truth, split in rows if split and label != truth)


def test_same_seed_same_numbers_another_seed_others(tmp_path: Path, social: gs.GraphStore) -> None:
    first = train(social)
    expected = probabilities(social, first)
    again = train(social, again=True)
    assert again.id == first.id
    assert probabilities(social, again) == expected
    other = train(social, seed=1)
    assert other.id != first.id
    assert probabilities(social, other) != expected
    mean = social.sql("select runs, weighted_f1_sd from leaderboard_mean").fetchall()
    assert mean[0][0] == 2
    assert mean[0][1] is not None


def test_a_finished_run_is_not_trained_again(social: gs.GraphStore) -> None:
    epochs: list[int] = []
    first = train(social, report=lambda epoch: epochs.append(epoch.epoch))
    second = train(social, report=lambda epoch: epochs.append(epoch.epoch))
    assert first == second
    assert epochs == [1, 2, 3, 4]


CHILD = """
import os, signal, sys
sys.path[:0] = {tests!r}
import graphsocial as gs
from test_training import HASHED, SMALL
def report(epoch):
    if epoch.epoch == 2:
        os.kill(os.getpid(), signal.SIGKILL)
with gs.open({store!r}) as store:
    gs.train(store, "edge-emotion", settings=SMALL, features=HASHED, report=report)
"""


def test_a_killed_run_goes_on_and_ends_with_the_same_numbers(social: gs.GraphStore) -> None:
    path = social.path
    social.close()
    child = CHILD.format(tests=[str(Path(__file__).parents[depth]) for depth in (0, 1)], store=str(path))
    ended = subprocess.run([sys.executable, "-W", "ignore", "-c", child], capture_output=True, text=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    with gs.open(path) as store:
        assert store.sql("select status from runs").fetchall() == [("running",)]
        assert store.sql("select count(*) from predictions").fetchall() == [(0,)]
        assert store.sql("select count(*) from leaderboard").fetchall() == [(0,)]
        epochs: list[int] = []
        resumed = train(store, report=lambda epoch: epochs.append(epoch.epoch))
        assert epochs == [3, 4]
        expected = probabilities(store, resumed)
        scores = resumed.metrics
        whole = train(store, again=True)
        assert whole.metrics == scores
        assert probabilities(store, whole) == expected


@pytest.mark.parametrize("model", [name for name in names("model") if name != "bayes_optimal"])
def test_every_model_trains_and_predicts_through_the_same_calls(social: gs.GraphStore, model: str) -> None:
    for_edges = (EdgeEmotion.default_model, *EdgeEmotion.baselines, "comments_only", "prior", "matrix_factorization")
    if model not in {name.replace("-", "_") for name in for_edges}:
        with pytest.raises(InputError, match=r"nodes|links"):
            gs.train(social, "edge-emotion", model=model, epochs=1, features=HASHED)
        return
    run = gs.train(social, "edge-emotion", model=model, epochs=1, features=HASHED)
    assert 0 <= run.metrics["test"]["emotion"]["weighted_f1"] <= 1
    assert gs.predict(social, run) > 0
    assert gs.evaluate(social, run)["targets"]["emotion"]["metrics"]["accuracy"] == pytest.approx(
        run.metrics["test"]["emotion"]["accuracy"]
    )


def test_only_what_a_model_reads_is_encoded(social: gs.GraphStore) -> None:
    def encoded(model: str) -> set[str]:
        run = gs.train(social, "edge-emotion", model=model, settings={"epochs": 1}, features=HASHED)
        (sets,) = social.first("select feature_sets from runs where run_id = ?", [run.id])  # type: ignore[misc]
        return set(json.loads(sets))

    assert encoded("majority") == encoded("bias") == set()
    assert social.sql("select * from feature_sets").fetchall() == []
    assert encoded("comments-only") == {"user views image.comment"}
    assert encoded("features-only") == set(HASHED)
    with pytest.raises(InputError, match="There is no column to use"):
        gs.train(social, "edge-emotion", model="majority", features={"user.nme": "hash_text"})


def test_weights_are_checked_on_reading_and_name_the_run(social: gs.GraphStore) -> None:
    run = gs.train(social, "edge-emotion", model="majority")
    (content,) = social.first("select content from weights") or (b"",)

    def write(content: bytes) -> None:
        social.connection.execute("update weights set content = ?", [content])

    for broken in (content[:-1] + bytes([content[-1] ^ 1]), content[:-1], content[:20], b""):
        write(broken)
        with pytest.raises(TrainingError, match=f"weights of the run '{run.id}' are broken: .*--again"):
            gs.predict(social, run)
    tensors, texts = weights.unpack(content)
    write(weights.pack(tensors, {name: text for name, text in texts.items() if name != "margins"}))
    with pytest.raises(TrainingError, match="are broken"):
        gs.predict(social, run)
    (other,) = social.first("select content from weights") or (b"",)
    social.connection.execute("update runs set checkpoint_hash = ?", [hash_tensors(other)])
    with pytest.raises(TrainingError, match="written by another version of graphsocial: they have no 'margins'"):
        gs.predict(social, run)
    social.connection.execute("delete from weights")
    with pytest.raises(TrainingError, match=f"no weights of the run '{run.id}': train the run again, with --again"):
        gs.predict(social, run)
    again = gs.train(social, "edge-emotion", model="majority", again=True)
    assert gs.predict(social, again) > 0


def test_identical_trainings_have_one_hash(social: gs.GraphStore) -> None:
    hashes = set()
    for _ in range(2):
        run = train(social, again=True)
        hashes.add(social.first("select checkpoint_hash from runs where run_id = ?", [run.id]))
    assert len(hashes) == 1
    read = weights.load(social, run.id)
    reordered = weights.Weights(dict(reversed(read.network.items())), read.objectives, read.classes, read.tabular)
    assert hashes == {(hash_tensors(reordered.to_bytes()),)}
    name, tensor = next(iter(read.network.items()))
    other = weights.Weights({**read.network, name: tensor + 1}, read.objectives, read.classes, read.tabular)
    assert hashes != {(hash_tensors(other.to_bytes()),)}


def test_configurations_of_other_versions_are_read(social: gs.GraphStore, caplog: pytest.LogCaptureFixture) -> None:
    run = train(social, settings={"cold_start_share": 0.5})
    before = probabilities(social, run)
    fitting = {name: value for name, value in run.config["fitting"].items() if name not in ("cold_start_share", "clip")}
    old = {**run.config, "fitting": {**fitting, "cold": 0.5, "momentum": 0.9}}
    social.connection.execute("update runs set config = ?", [json.dumps(old)])
    assert gs.predict(social, run.id) == len(before)
    assert probabilities(social, run) == before
    warnings = [record.getMessage() for record in caplog.records]
    assert warnings == [
        f"The run '{run.id}' has a setting that no longer exists and is ignored: fitting.momentum.",
        f"The run '{run.id}' has no setting fitting.clip; its default is used.",
    ]
    recorded = runs.load(social, run.id).config
    assert recorded == {**old, "fitting": {**old["fitting"], "clip": 5.0}, "defaulted": ["fitting.clip"]}
    caplog.clear()
    gs.predict(social, run.id)
    assert not any("older than" in record.getMessage() for record in caplog.records)
    assert runs.load(social, run.id).config == recorded
    config = RunConfig.from_run(runs.load(social, run.id))
    assert (config.fitting.cold_start_share, config.fitting.clip) == (0.5, 5.0)
    social.connection.execute(
        "update runs set config = ?", [json.dumps({**old, "fitting": {"decision_rule": "loudest"}})]
    )
    with pytest.raises(
        InputError,
        match=r"settings of the fitting do not fit this one: .* decision_rule='loudest': choose from validated, ",
    ):
        gs.predict(social, run.id)


def test_configurations_that_do_not_fit_are_refused_and_say_where(
    social: gs.GraphStore, caplog: pytest.LogCaptureFixture
) -> None:
    run = train(social)
    whole = run.config

    def recorded_as(config: object) -> None:
        social.connection.execute("update runs set config = ?", [json.dumps(config)])

    def without(name: str) -> dict[str, object]:
        return {key: value for key, value in whole.items() if key != name}

    model = {key: value for key, value in whole["model"].items() if key != "name"}
    for config, said in [
        (None, "settings of the run do not fit this one: they are null, where names with values"),
        ({**whole, "model": None}, "settings of the model do not fit this one: they are null"),
        (without("model"), "'model.name' is null, where a name"),
        (without("task"), "'task.name' is null, where a name"),
        ({**whole, "model": model}, "'model.name' is null"),
        ({**whole, "fitting": [1]}, r"settings of the fitting do not fit this one: they are \[1\]"),
        ({**whole, "features": 3}, "settings of the features do not fit this one: they are 3"),
        (
            {**whole, "split": {**whole["split"], "policy": "odd"}},
            "split do not fit .* No split policy is called 'odd'",
        ),
        (
            {**whole, "model": {**whole["model"], "width": "wide"}},
            "model do not .* width='wide': it must be a whole nu",
        ),
        (
            {**whole, "fitting": {**whole["fitting"], "clip": "x"}},
            "fitting do not fit .* clip='x': it must be a number",
        ),
        ({**whole, "edge_types": 5}, "settings of the run do not fit this one: it cannot take edge_types=5"),
        ({**whole, "both_ways": "x"}, 'it cannot take both_ways="x": write true or false'),
    ]:
        recorded_as(config)
        with pytest.raises(InputError, match=f"The run '{run.id}' was made by another version.*{said}"):
            gs.predict(social, run.id)
    before = probabilities(social, run)
    caplog.clear()
    recorded_as({**without("fitting"), "later": {"x": 1}})
    assert gs.predict(social, run.id) > 0
    assert probabilities(social, run) == before
    assert [record.getMessage() for record in caplog.records] == [
        f"The run '{run.id}' has a setting that no longer exists and is ignored: later.",
        f"The run '{run.id}' has no settings of the fitting; their defaults are used.",
    ]
    defaults = json.loads(json.dumps(asdict(TrainingConfig())))
    assert runs.load(social, run.id).config["fitting"] == defaults


def test_weights_that_do_not_fit_name_the_parameter_and_the_setting(social: gs.GraphStore) -> None:
    run = train(social)
    width = run.config["model"]["width"]
    for change, said in [
        ({"width": 2 * width}, "types, features or settings have changed since"),
        ({}, r"the default that its configuration lacks does not fit: model\.width = \d+\. Train again"),
    ]:
        model = {key: value for key, value in run.config["model"].items() if key != "width"} | change
        social.connection.execute("update runs set config = ?", [json.dumps({**run.config, "model": model})])
        shapes = rf"in its weights '\S+' has the shape \(.*{width}.*\), but now it has the shape \(.*\)"
        with pytest.raises(InputError, match=f"cannot predict on the current data: {shapes}, and .* differ; .*{said}"):
            gs.predict(social, run.id)


KILLED_AGAIN = """
import os, signal, sys
sys.path[:0] = {tests!r}
import graphsocial as gs
from test_training import HASHED, SMALL
from graphsocial.runs import records
def kill(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
def report(epoch):
    if epoch.epoch == 2 and {when!r} == "training":
        kill()
if {when!r} == "writing":
    records.log_opening = kill
with gs.open({store!r}) as store:
    gs.train(store, "edge-emotion", settings=SMALL, features=HASHED, report=report, again=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("when", ["training", "writing"])
def test_a_killed_training_anew_leaves_the_run_as_it_was(social: gs.GraphStore, when: str) -> None:
    def record(store: gs.GraphStore) -> object:
        return store.sql("select * from runs").fetchall(), store.sql("from weights").fetchall(), run.metrics

    run = train(social)
    before, rows, path = probabilities(social, run), record(social), social.path
    social.close()
    tests = [str(Path(__file__).parents[depth]) for depth in (0, 1)]
    child = KILLED_AGAIN.format(tests=tests, store=str(path), when=when)
    ended = subprocess.run([sys.executable, "-W", "ignore", "-c", child], capture_output=True, text=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    beside = path.with_suffix(".runs") / run.id
    assert (beside / "checkpoint.safetensors").exists()
    gs.open(path, read_only=True).close()
    assert (beside / "checkpoint.safetensors").exists()
    with gs.open(path) as store:
        assert not beside.parent.exists()
        assert runs.load(store, run.id) == run
        assert (record(store), probabilities(store, run)) == (rows, before)
        assert gs.predict(store, run) == len(before)
        assert probabilities(store, run) == before


def test_a_finished_run_keeps_no_checkpoint_of_a_killed_training_anew(social: gs.GraphStore) -> None:
    run = train(social)
    beside = social.path.with_suffix(".runs") / run.id
    beside.mkdir(parents=True)  # as after a kill while it was removed
    assert train(social) == run
    assert not beside.parent.exists()
    beside.mkdir(parents=True)
    for name in ("checkpoint.safetensors", "checkpoint.123.part"):
        (beside / name).write_bytes(b"broken")
    assert train(social) == run
    assert not beside.parent.exists()


def test_bayes_optimal_needs_its_reference(social: gs.GraphStore) -> None:
    with pytest.raises(DataError, match="true probabilities"):
        gs.train(social, "edge-emotion", model="bayes_optimal", features=HASHED)
    assert social.sql("select * from runs").fetchall() == []


@pytest.mark.parametrize("backbone", ["gat", "sage", "graphconv"])
@pytest.mark.parametrize("combine", ["paper", "gated", "none"])
@pytest.mark.parametrize("mechanism", ["concat", "sum", "dot"])
def test_every_form_of_hmg_emo_runs(social: gs.GraphStore, backbone: str, combine: str, mechanism: str) -> None:
    options = {"backbone": backbone, "combine": combine, "mechanism": mechanism, "epochs": 1}
    run = train(social, settings=options)
    assert np.isfinite(run.metrics["test"]["emotion"]["log_loss"])


def test_the_paper_s_own_form_runs(social: gs.GraphStore) -> None:
    path = Path(__file__).resolve().parents[2] / "examples" / "settings" / "hmg_emo_paper.yaml"
    paper = {
        f"{part}.{name}": value
        for part, given in yaml.safe_load(path.read_text()).items()
        for name, value in given.items()
    }
    run = gs.train(social, "edge-emotion", features=HASHED, settings={**paper, "fitting.epochs": 1})
    assert run.config["model"]["layers"] == 5
    assert run.config["visibility"]["predicted"] == "full"
    assert np.isfinite(run.metrics["test"]["emotion"]["log_loss"])
    to_the_letter = train(social, settings={"share": "all", "residual": False})
    assert np.isfinite(to_the_letter.metrics["test"]["emotion"]["log_loss"])


@pytest.mark.parametrize("loader", ["full", "sampled"])
def test_what_goes_beyond_the_paper_trains_and_predicts(social: gs.GraphStore, loader: str) -> None:
    beyond = {"label_messages": True, "interaction": 4, "identity": "context", "loader": loader, "fanouts": "5,5"}
    run = train(social, settings=beyond)
    bare = train(social, settings={"loader": loader, "fanouts": "5,5"})
    assert probabilities(social, run) != probabilities(social, bare)
    expected = probabilities(social, run)
    assert gs.predict(social, run) == len(expected)
    assert probabilities(social, run) == expected


def test_one_type_has_learned_vectors(social: gs.GraphStore) -> None:
    run = train(social, settings={"identity": "image"})
    (notes,) = social.first("select notes from runs where run_id = ?", [run.id]) or ([],)
    assert "transductive" in notes
    state = weights.load(social, run.id).network
    (count,) = social.first("select count(*) from node_image") or (0,)
    assert [len(table) for name, table in state.items() if ".ids." in name] == [count]
    with pytest.raises(UnknownNameError, match=r"'imgae'.*Did you mean 'image'"):
        train(social, settings={"identity": "imgae"})


@pytest.mark.parametrize("loader", ["full", "sampled"])
def test_negative_samples_are_one_more_class(social: gs.GraphStore, loader: str) -> None:
    run = train(social, settings={"negatives": 0.5, "loader": loader})
    rows = social.sql(
        "select true_label, count(*), bool_and(split is not null) from predictions where run_id = ? group by all",
        [run.id],
    ).fetchall()
    labels = {label for label, *_ in rows}
    assert "no-edge" in labels
    names = social.sql("select map_keys(probabilities) from predictions where run_id = ? limit 1", [run.id]).fetchall()
    assert names[0][0][-1] == "no-edge"  # the other classes keep their places
    pairs = social.sql(
        "select count(*) from predictions p join node_user u on u.id = p.entity_id "
        "join node_image i on i.id = p.other_id "
        "join edge_user_views_image e on e.src = u.idx and e.dst = i.idx where run_id = ? and true_label = 'no-edge'",
        [run.id],
    ).fetchall()
    assert pairs == [(0,)]


def test_comments_change_the_answer_also_after_loading(social: gs.GraphStore) -> None:
    """LESSONS 8: edge features that are silently ignored would leave the answer as it is."""
    seen = gs.Visibility(predicted="full")
    run = train(social, visibility=seen)
    before = probabilities(social, run)
    assert gs.predict(social, run) == len(before)
    assert probabilities(social, run) == before
    with social.transaction():
        social.connection.execute("delete from feature_rows where column_name = 'comment'")
        social.connection.execute(
            "update edge_user_views_image set comment = 'another thing' where comment is not null"
        )
    gs.predict(social, run)
    assert probabilities(social, run) != before
    assert "visibility predicted=full" in social.sql("select notes from runs").fetchall()[0][0]


def test_predict_pairs_without_an_edge_and_training_pairs(social: gs.GraphStore, tmp_path: Path) -> None:
    run = train(social)
    known = set(social.sql("select entity_id, other_id from predictions").fetchall())
    strangers = [(f"u{u}", f"i{i}") for u in range(40) for i in range(30) if (f"u{u}", f"i{i}") not in known][:5]
    assert gs.predict(social, run, ids=strangers) == 5
    path = tmp_path / "pairs.csv"
    path.write_text("user,image\nu1,i1\nu1,i1\nu2,i2\n")
    assert gs.predict(social, run, ids=path) == 2
    with pytest.raises(InputError, match="No user has the id 'nobody'"):
        gs.predict(social, run, ids=[("nobody", "i1")])
    with pytest.raises(FileNotFoundError, match="no file"):
        gs.predict(social, run, ids=tmp_path / "absent.csv")
    with pytest.raises(DataError, match="--train"):
        gs.evaluate(social, run, split="train")
    gs.predict(social, run, train=True)
    total = social.sql("select count(*) from split_members where role = 'train'").fetchall()[0][0]
    assert gs.evaluate(social, run, split="train")["targets"]["emotion"]["rows"] == total


def test_new_users_and_images_are_answered_by_an_old_run(social: gs.GraphStore) -> None:
    run = train(social)
    before = social.sql("select count(*) from predictions where split = 'test'").fetchall()
    social.write(USER, pl.DataFrame({"id": ["late"], "age": [30.0], "city": ["Oslo"]}), dataset="small")
    social.write(VIEWS, pl.DataFrame({"src": ["late"], "dst": ["i3"], "emotions": [["awe"]]}), dataset="small")
    gs.predict(social, run)
    assert social.sql("select split, true_label from predictions where entity_id = 'late'").fetchall() == [
        (None, "awe")
    ]
    assert social.sql("select count(*) from predictions where split = 'test'").fetchall() == before


def test_a_model_of_ids_refuses_new_users(social: gs.GraphStore) -> None:
    run = gs.train(social, "edge-emotion", model="bias", epochs=1, features=HASHED)
    social.write(USER, pl.DataFrame({"id": ["late"]}), dataset="small")
    with pytest.raises(InputError, match="Train again"):
        gs.predict(social, run)


def test_columns_of_nodes_can_be_left_out(social: gs.GraphStore) -> None:
    without = gs.train(social, "edge-emotion", settings=SMALL, features={**HASHED, "user.age": None})
    rows = social.first("select count(*) from predictions where run_id = ?", [without.id])
    assert gs.predict(social, without) == rows[0]
    assert probabilities(social, without) != probabilities(social, train(social))
    graph = prepare(social, design(social, "edge-emotion", TrainOptions(features={**HASHED, "user.age": None}))).graph
    assert [column.name for column in graph.plain["user"][0].columns] == ["city"]
    for name, spec, reason in (
        ("user.age", "hash_text", "it takes no encoder"),
        ("user.wage", None, "columns: .*user.age"),
    ):
        with pytest.raises(InputError, match=reason):
            gs.train(social, "edge-emotion", settings=SMALL, features={**HASHED, name: spec})


def test_another_metric_may_choose_the_epoch(social: gs.GraphStore) -> None:
    run = train(social, settings={"select": "log_loss", "epochs": 8})
    epochs = social.sql("select epoch, metric, value from run_epochs where run_id = ?", [run.id]).fetchall()
    assert {metric for _, metric, _ in epochs} == {"log_loss"}
    best = min(epochs, key=lambda row: row[2])
    assert social.first("select best_epoch from runs where run_id = ?", [run.id]) == (best[0],)
    assert run.metrics["validation"]["emotion"]["log_loss"] == pytest.approx(best[2], abs=1e-6)
    with pytest.raises(UnknownNameError, match=r"No metric is called 'f1'"):
        train(social, settings={"select": "f1"})


def test_class_weights_are_taken_out_of_the_probabilities(social: gs.GraphStore) -> None:
    """Balanced training must not make rare classes look likely: mean probabilities stay near the shares."""
    run = train(social, settings={"epochs": 10, "class_weights": "balanced"})
    rows = social.sql("select probabilities, true_label from predictions where split = 'test' and run_id = ?", [run.id])
    shares, truth = zip(*rows.fetchall(), strict=True)
    for name in shares[0]:
        assert np.mean([s[name] for s in shares]) == pytest.approx(np.mean([t == name for t in truth]), abs=0.15)


def test_bad_questions_get_clear_answers(social: gs.GraphStore) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'hmg_emo'"):
        train(social, model="hmg_emu")
    with pytest.raises(UnknownNameError, match="Did you mean 'width'"):
        train(social, settings={"widht": 3})
    with pytest.raises(UnknownNameError, match="Did you mean 'epochs'"):
        train(social, epoch=3)
    with pytest.raises(InputError, match="There is no column to use"):
        gs.train(social, "edge-emotion", features={"user.voice": "sentence"})
    with pytest.raises(InputError, match=r"Sentence gives sequences; .*one vector for each row of 'group.description'"):
        gs.train(social, "edge-emotion", features={"group.description": "sentence,pooling=tokens"})
    with pytest.raises(UnknownNameError, match="dataset"):
        train(social, dataset="large")
    with pytest.raises(UnknownNameError, match="edge type"):
        train(social, settings={"edge": "user likes image"})
    with pytest.raises(UnknownNameError, match="class"):
        train(social, settings={"classes": "awe,fear"})


def test_labels_that_teach_nothing_are_refused(tmp_path: Path) -> None:
    def store_with(emotions: list[list[str] | None]) -> gs.GraphStore:
        store = gs.open(tmp_path / f"{len(list(tmp_path.iterdir()))}.duckdb")
        store.declare(GraphSchema((USER, IMAGE), (VIEWS,)))
        count = len(emotions)
        store.write(USER, pl.DataFrame({"id": [f"u{n}" for n in range(count)]}), dataset="d")
        store.write(IMAGE, pl.DataFrame({"id": ["i"]}), dataset="d")
        rows = {"src": [f"u{n}" for n in range(count)], "dst": ["i"] * count, "emotions": emotions}
        store.write(VIEWS, pl.DataFrame(rows, schema_overrides={"emotions": pl.List(pl.String)}), dataset="d")
        return store

    for emotions, words in (
        ([["unknown"]] * 30, "exactly one emotion"),
        ([None] * 30, "exactly one emotion"),
        ([["awe", "fear"]] * 30, "exactly one emotion"),
        ([["awe"]] * 30, "Every labelled 'user views image' pair has the label 'awe'"),
        ([["awe"], ["fear"]], "part of the split 'random' is empty"),
    ):
        with store_with(emotions) as store, pytest.raises(DataError, match=words):
            gs.train(store, "edge-emotion", epochs=1)
    with gs.open(tmp_path / "none.duckdb") as store, pytest.raises(DataError, match="holds no dataset"):
        gs.train(store, "edge-emotion")


def test_a_loss_that_explodes_is_an_error(social: gs.GraphStore, tmp_path: Path) -> None:
    from graphsocial.training.config import TrainOptions, design
    from graphsocial.training.data import make_loader, prepare

    config = design(social, "edge-emotion", TrainOptions(settings=SMALL, features=HASHED))
    data = prepare(social, config)
    rows = torch.nonzero(data.roles == 0).squeeze(1)
    network = config.model.build(data.graph, rows, seed=0)
    with torch.no_grad():
        next(network.parameters()).fill_(float("nan"))
    with pytest.raises(TrainingError, match="lower learning rate"):
        fit(
            network,
            make_loader(config, data),
            rows,
            rows,
            TrainingConfig(epochs=1),
            metric="weighted_f1",
            seed=0,
            checkpoint=tmp_path / "c.safetensors",
        )


KILLED_PREDICT = """
import os, signal
import graphsocial as gs
from graphsocial.runs import records
whole = records.save_predictions
with gs.open({store!r}) as store:
    def killed(*arguments, **named):
        with store.transaction():
            whole(*arguments, **named)
            os.kill(os.getpid(), signal.SIGKILL)
    records.save_predictions = killed
    gs.predict(store, "latest", train=True)
"""


@pytest.mark.slow
def test_a_killed_predict_leaves_the_rows_as_they_were(social: gs.GraphStore) -> None:
    run = train(social)
    before = probabilities(social, run)
    path = social.path
    social.close()
    child = KILLED_PREDICT.format(store=str(path))
    ended = subprocess.run([sys.executable, "-W", "ignore", "-c", child], capture_output=True, text=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    with gs.open(path) as store:
        assert probabilities(store, run) == before
        assert gs.predict(store, run, train=True) > len(before)


@pytest.mark.parametrize("split", ["stratified", "kfold", "source", "destination", "time"])
@pytest.mark.parametrize("loader", ["full", "sampled"])
def test_every_split_trains_with_every_loader(social: gs.GraphStore, split: str, loader: str) -> None:
    run = train(social, split=split, settings={"loader": loader, "epochs": 1, "fanouts": "5,5"})
    assert np.isfinite(run.metrics["test"]["emotion"]["log_loss"])
    stored = social.sql("select policy from splits where split_id = ?", [run.split_id]).fetchall()
    assert stored == [(str(gs.SplitPolicy(split)),)]
