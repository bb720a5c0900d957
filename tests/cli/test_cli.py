"""The program: its output on stdout and stderr, exit codes, and error messages."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import typer

import graphsocial as gs
from graphsocial.cli.main import app, main
from graphsocial.cli.render import Output, _parts, rate
from graphsocial.types import Column, EdgeType, GraphSchema, NodeType

USER = NodeType("user", (Column("age", "number"),))
IMAGE = NodeType("image", (Column("vector", "vector"),))
VIEWS = EdgeType("user", "views", "image", (Column("emotions", "categories", "label"),))
TINY = ("--set", "layers=2", "--set", "width=8", "--set", "node_width=8", "--epochs", "2")
COMMANDS = (
    "synthesize",
    "ingest",
    "featurize",
    "link",
    "train",
    "predict",
    "evaluate",
    "compare",
    "audit",
    "what-if",
    "benchmark",
    "tune",
    "reproduce",
    "analyze",
    "explain",
    "report",
    "runs",
    "sql",
    "info",
    "list",
    "doctor",
)

Result = tuple[int, str, str]
Call = Callable[..., Result]


def write_views(path: Path, *, users: int = 24, images: int = 12) -> None:
    """A store in which an image's first number decides the emotion."""
    random = np.random.default_rng(0)
    kind = random.integers(0, 2, images)
    vectors = np.stack([kind * 2.0 - 1, random.normal(size=images)], axis=1)
    pairs = [(u, i) for u in range(users) for i in range(images) if random.random() < 0.6]
    emotions = [["awe" if kind[i] else "fear"] for _, i in pairs]
    with gs.open(path) as store:
        store.declare(GraphSchema((USER, IMAGE), (VIEWS,)))
        ids = {"id": [f"u{u}" for u in range(users)], "age": random.uniform(18, 80, users)}
        store.write(USER, pl.DataFrame(ids), dataset="tiny")
        store.write(
            IMAGE, pl.DataFrame({"id": [f"i{i}" for i in range(images)], "vector": vectors.tolist()}), dataset="tiny"
        )
        views = {"src": [f"u{u}" for u, _ in pairs], "dst": [f"i{i}" for _, i in pairs], "emotions": emotions}
        store.write(VIEWS, pl.DataFrame(views), dataset="tiny")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a run of hmg_emo and one of majority; tests only read it."""
    path = tmp_path_factory.mktemp("cli") / "tiny.duckdb"
    write_views(path)
    assert main(["--store", str(path), "--quiet", "train", "edge-emotion", *TINY]) == 0
    assert main(["--store", str(path), "--quiet", "train", "edge_emotion", "--model", "majority", "--seeds", "2"]) == 0
    return path


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    """A store without runs."""
    write_views(tmp_path / "tiny.duckdb")
    return tmp_path / "tiny.duckdb"


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Call:
    """Run a command in an empty folder; gives the exit code, stdout and stderr."""
    monkeypatch.delenv("GRAPHSOCIAL_STORE", raising=False)
    monkeypatch.delenv("GRAPHSOCIAL_DEBUG", raising=False)
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()

    def run(*arguments: str | Path) -> Result:
        code = main([str(argument) for argument in arguments])
        return code, *capsys.readouterr()

    return run


def process(*arguments: str | Path, **options: Any) -> subprocess.Popen[str]:
    """The program as a process of its own, with Ctrl-C as a terminal gives it."""
    return subprocess.Popen(
        [sys.executable, "-c", "from graphsocial.cli.main import run; run()", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        **options,
    )


# Help


def test_help_imports_no_heavy_package() -> None:
    code = (
        "import sys; from graphsocial.cli.main import main; main(['--help']); main(['train', '--help']);"
        "print(sorted({'torch', 'dgl', 'transformers', 'duckdb', 'polars', 'numpy', 'pyarrow'} & set(sys.modules)))"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "synthesize" in process.stdout
    assert process.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_an_example_and_the_common_options(call: Call, command: str) -> None:
    code, out, err = call(command, "--help")
    assert (code, err) == (0, "")
    assert "Example" in out and f"graphsocial {command}" in out
    for option in ("--store", "--json", "--quiet"):
        assert option in out


def test_all_commands_are_tested_here() -> None:
    registered = {entry.name or entry.callback.__name__ for entry in app.registered_commands if entry.callback}
    assert registered == set(COMMANDS)


def test_every_option_and_argument_has_a_help_text() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    texts = {(name, str(param.name)): param.help for name, each in commands.items() for param in each.params}
    assert len(texts) > 100
    assert [param for param, text in texts.items() if not text or not text.endswith(".")] == []


def test_no_command_shows_the_help(call: Call) -> None:
    code, out, _ = call()
    assert code == 0
    assert all(command in out for command in COMMANDS)


def test_version(call: Call) -> None:
    assert call("--version")[1].startswith("graphsocial 0.")


# Errors and exit codes


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["info", "--store", "nowhere.duckdb"], 1, "There is no store 'nowhere.duckdb'; ingest a dataset first"),
        (["train", "edge-emotion"], 1, "There is no store 'graphsocial.duckdb'; ingest a dataset first"),
        (["predict", "latest"], 1, "There is no store 'graphsocial.duckdb'; ingest a dataset first"),
        (["ingest", "iesm", "."], 1, "No source is called 'iesm'. Did you mean 'iesn'?"),
        (["ingest", "iesn", "nowhere"], 1, "nowhere"),
        (["synthesize", "iesm", "data"], 1, "Known: iesn"),
        (["synthesize", "iesn", "data", "--preset", "huge"], 1, "Known: iesn, small"),
        (["list", "modles"], 1, "Did you mean 'models'?"),
        (["list", "models", "hmg"], 1, "No model is called 'hmg'"),
        (["list", "splits", "kfolds"], 1, "Did you mean 'kfold'?"),
        (["trian"], 2, "Did you mean 'train'?"),
        (["train"], 2, "Missing argument 'TASK'. Try: graphsocial train --help"),
        (["train", "edge-emotion", "--epoch", "3"], 2, "--epochs"),
        (["train", "edge-emotion", "--epochs", "many"], 2, "--epochs"),
        (["train", "edge-emotion", "--set", "layers"], 2, "'layers' is not NAME=VALUE"),
        (["train", "edge-emotion", "--folds", "3", "--split", "random"], 2, "--split kfold"),
        (["sql", "select 1", "--json", "--csv"], 2, "--json or --csv"),
    ],
)
def test_errors_are_one_line_and_make_no_store(call: Call, arguments: list[str], code: int, words: str) -> None:
    exit_code, out, err = call(*arguments)
    assert (exit_code, out) == (code, "")
    assert words in err
    assert err.startswith("Error: ") and err.count("\n") == 1
    assert not list(Path().iterdir())  # no store was made


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "edge-emotio"], "Did you mean 'edge-emotion'?"),
        (["train", "edge-emotion", "--model", "hmg-emu"], "Did you mean 'hmg_emo'?"),
        (["train", "edge-emotion", "--split", "sorce"], "Did you mean 'source'?"),
        (["train", "edge-emotion", "--set", "depth=3"], "No setting is called 'depth'"),
        (["train", "edge-emotion", "--set", "layers=two"], "it must be a whole number"),
        (["train", "edge-emotion", "--class-weights", "heavy"], "choose from sqrt, balanced, none"),
        (["train", "edge-emotion", "--as-of", "yesterday"], "'yesterday' is not a time"),
        (["train", "edge-emotion", "--config", "none.yaml"], "There is no file 'none.yaml'"),
        (["train", "edge-emotion", "--dataset", "tinny"], "Did you mean 'tiny'?"),
        (["train", "edge-emotion", "--features", "image.file=vision"], "no node type, 'image.file'; columns: "),
        (["featurize", "imgae"], "Did you mean 'image'?"),
        (["featurize", "image"], "has no text, image, audio or video column to encode"),
        (["predict", "nothing"], "No run is called 'nothing'"),
        (["predict", "latest", "--ids", "none.csv"], "There is no file 'none.csv'"),
        (["evaluate", "hmg_emo", "--split", "exam"], "train, validation, test"),
        (["evaluate", "hmg_emo", "--split", "train"], "no labelled predictions for 'train'"),
        (["runs", "--task", "edge-emotio"], "Did you mean 'edge-emotion'?"),
        (["runs", "--dataset", "tinny"], "Did you mean 'tiny'?"),
        (["sql", "selec 1"], "syntax error"),
        (["sql", "select nothing from runs"], 'Referenced column "nothing" not found'),
        (["sql", "select error('too bad')"], "too bad"),
        (["sql", "delete from runs"], "only reads"),
        (["sql", "create table x (a integer)"], "only reads"),
        (["sql", " "], "There is no query"),
    ],
)
def test_errors_on_an_existing_store_are_one_line(call: Call, trained: Path, arguments: list[str], words: str) -> None:
    code, out, err = call("--store", trained, *arguments)
    assert (code, out) == (1, "")
    assert words in err.splitlines()[-1]
    assert err.splitlines()[-1].startswith("Error: ")
    assert "Traceback" not in err and "LINE 1" not in err


def test_a_config_file_must_be_a_yaml_mapping(call: Call, trained: Path, tmp_path: Path) -> None:
    for text, words in (("- layers", "must be a mapping"), ("a: [", "cannot be read as YAML")):
        (tmp_path / "bad.yaml").write_text(text)
        code, _, err = call("train", "edge-emotion", "--config", "bad.yaml", "--store", trained)
        assert code == 1 and words in err and err.count("\n") == 1


def test_tracebacks_are_printed_only_in_debug_mode(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "Traceback" not in call("info")[2]
    monkeypatch.setenv("GRAPHSOCIAL_DEBUG", "1")
    code, _, err = call("info")
    assert code == 1 and "Traceback" in err and err.splitlines()[-1].startswith("Error: There is no store")


def test_an_unexpected_exception_is_printed_with_its_class(
    call: Call, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fall(*_: object, **__: object) -> None:
        raise ZeroDivisionError("twice\nas bad")

    monkeypatch.setattr("graphsocial.store.open", fall)
    code, out, err = call("info", "--store", trained)
    assert (code, out) == (1, "")
    assert err == "Error: ZeroDivisionError: twice as bad. Set GRAPHSOCIAL_DEBUG=1 to see where.\n"


@pytest.mark.parametrize(
    "then", ["range(1000000000)", "(select sum(a.range * b.range) as range from range(10000000) a, range(10000000) b)"]
)
def test_ctrl_c_ends_with_130_and_one_line(trained: Path, then: str) -> None:
    query = f"select range as number from range(5000) union all select range from {then}"
    running = process("sql", query, "--csv", "--store", trained)
    assert running.stdout is not None
    assert running.stdout.readline() == "number\n"
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=30)
    assert (running.returncode, err) == (130, "Interrupted.\n")


def test_ctrl_c_inside_duckdb_ends_with_130(call: Call, trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise RuntimeError("Query interrupted")  # DuckDB's own words

    monkeypatch.setattr("graphsocial.store.GraphStore.sql", stop)
    assert call("sql", "select 1", "--store", trained) == (130, "", "Interrupted.\n")


def test_ctrl_c_while_the_store_is_busy_ends_with_130(
    call: Call, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        try:
            raise KeyboardInterrupt
        finally:
            raise RuntimeError("connection is busy with another call")  # as DuckDB says when it is closed just then

    monkeypatch.setattr("graphsocial.store.GraphStore.sql", stop)
    assert call("sql", "select 1", "--store", trained) == (130, "", "Interrupted.\n")


def test_ctrl_c_while_training_prints_how_to_resume(call: Call, fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("graphsocial.training.records.finish", stop)
    code, out, err = call("train", "edge-emotion", *TINY, "--store", fresh)
    assert (code, out) == (130, "")
    assert err.endswith("Interrupted: the same command resumes where this one stopped.\n")
    assert "Not done: hmg_emo-" in call("runs", "--store", fresh)[2]


def test_a_closed_pipe_ends_without_an_error_message(trained: Path) -> None:
    running = process("sql", "select range from range(10000000)", "--csv", "--store", trained)
    assert running.stdout is not None and running.stderr is not None
    running.stdout.readline()
    running.stdout.close()
    assert running.stderr.read() == ""
    assert running.wait(timeout=30) == 1
    running.stderr.close()


# Stores and options


def test_the_store_is_named_before_or_after_the_command_or_by_the_environment(
    call: Call, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    after = call("runs", "--json", "--store", trained)
    assert after[0] == 0 and json.loads(after[1])
    assert call("--store", trained, "--json", "runs") == after
    assert call("--store", "elsewhere.duckdb", "runs", "--json", "--store", trained) == after  # the nearer one wins
    monkeypatch.setenv("GRAPHSOCIAL_STORE", str(trained))
    assert call("runs", "--json") == after


def test_ingest_creates_the_store_and_a_failed_ingest_leaves_none(call: Call, tmp_path: Path) -> None:
    sizes = ("--users", "30", "--images", "10", "--views", "80", "--contacts", "40", "--groups", "3")
    code, out, err = call("synthesize", "iesn", "data", *sizes, "--set", "images_as=vectors")
    assert code == 0 and "users" in out and err == "Next: graphsocial ingest iesn data\n"
    assert (
        json.loads(call("synthesize", "iesn", "data", *sizes, "--set", "images-as=vectors", "--json")[1])["rows"][
            "users"
        ]
        == 30
    )
    contacts = tmp_path / "data" / "contacts.csv"
    contacts.write_text(contacts.read_text() + "nobody,u00001\n")
    code, out, err = call("--store", "new.duckdb", "ingest", "iesn", "data")
    assert code == 0
    assert "user views image" in out and "nobody" not in out and "no user has the id" in out
    assert 'graphsocial --store new.duckdb sql "select * from rejects"' in err
    report = json.loads(call("--store", "new.duckdb", "ingest", "iesn", "data", "--json")[1])
    assert report["changed"] is False and report["rejected"] == 1
    assert "nothing was written" in call("--store", "new.duckdb", "ingest", "iesn", "data")[2]
    code, _, err = call("ingest", "iesn", "data", "--store", "new.duckdb/inside.duckdb")
    assert code == 1 and err.startswith("Error: There is no folder 'new.duckdb'")
    code, _, err = call("ingest", "iesn", "data", "--reject-limit", "0", "--store", "strict.duckdb")
    assert code == 1 and "with --reject-limit" in err and "now 0)" in err
    contacts.unlink()
    contacts.write_text("nonsense\n1\n")
    assert call("ingest", "iesn", "data")[0] == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "new.duckdb"]


# Training and evaluation


def test_train_prints_epochs_scores_and_a_query_for_the_predictions(call: Call, fresh: Path) -> None:
    code, out, err = call("train", "edge_emotion", *TINY, "--baselines", "--store", fresh)
    assert code == 0
    assert "hmg_emo, seed 0: epoch 2 of 2, loss " in err and "validation weighted_f1" in err
    assert "edge-emotion on tiny, split random" in out
    for model in ("hmg_emo", "majority", "stratified", "destination_prior", "bias", "features_only"):
        assert model in out
    assert "bayes_optimal" not in out  # this data has no reference
    with gs.open(fresh, read_only=True) as store:
        assert not store.sql("select 1 from runs where status <> 'done'").fetchall()
        (settings,) = store.sql("select config from runs where model = 'features_only'").fetchall()[0]
    assert json.loads(settings)["fitting"]["epochs"] == 40  # its own, not --epochs
    assert json.loads(call("evaluate", "latest", "--json", "--store", fresh)[1])["run"].startswith("hmg_emo-")
    hint = err.splitlines()[-1]
    query = hint.partition('sql "')[2].rstrip('"')
    assert query.startswith("select * from edge_emotion_predictions where run_id = 'hmg_emo-")
    assert len(json.loads(call("sql", query, "--json", "--store", fresh)[1])) == 5
    again = call("train", "edge-emotion", *TINY, "--store", fresh)
    assert "done before; --again trains anew" in again[2] and "epoch 1" not in again[2]
    assert "epoch 1 of 2" in call("train", "edge-emotion", *TINY, "--again", "--store", fresh)[2]


def test_train_prints_seeds_and_folds_as_json(call: Call, fresh: Path) -> None:
    base = ("--quiet", "--json", "--store", fresh, "train", "edge-emotion", "--model", "destination-prior")
    code, out, err = call(*base, "--seed", "3", "--seeds", "2")
    result = json.loads(out)
    assert (code, err) == (0, "")
    assert [run["seed"] for run in result["runs"]] == [3, 4]
    assert [(line["model"], line["runs"]) for line in result["leaderboard"]] == [("destination_prior", 2)]
    result = json.loads(call(*base, "--folds", "3")[1])
    assert [run["config"]["split"]["fold"] for run in result["runs"]] == [0, 1, 2]
    assert [(line["split"], line["runs"]) for line in result["leaderboard"]] == [("kfold of 3", 3)]
    result = json.loads(call(*base, "--split", "kfold", "--set", "fold=1")[1])
    assert [run["config"]["split"]["fold"] for run in result["runs"]] == [1]


def test_settings_of_the_command_line_override_those_of_a_file(call: Call, fresh: Path, tmp_path: Path) -> None:
    text = "model: {layers: 1, width: 4}\nnode-width: 8\nepochs: 9\nclass_weights: none\npatience: 3\n"
    (tmp_path / "settings.yaml").write_text(text)
    options = ("--config", "settings.yaml", "--set", "model.width=8", "--epochs", "1")
    out = call("train", "edge-emotion", *options, "--json", "-q", "--store", fresh)[1]
    config = json.loads(out)["runs"][0]["config"]
    assert {name: config["model"][name] for name in ("layers", "width", "node_width")} == {
        "layers": 1,
        "width": 8,
        "node_width": 8,
    }
    assert {name: config["fitting"][name] for name in ("epochs", "class_weights", "patience")} == {
        "epochs": 1,
        "class_weights": "none",
        "patience": 3,
    }


def test_baselines_share_classes_and_split_with_the_model(call: Call, fresh: Path) -> None:
    options = ("--model", "majority", "--baselines", "--set", "classes=fear,awe", "--set", "split.test=0.3")
    runs = json.loads(call("train", "edge-emotion", *options, "-q", "--json", "--store", fresh)[1])["runs"]
    assert len(runs) == 5 and len({run["split_id"] for run in runs}) == 1
    assert all(run["config"]["task"]["classes"] == ["fear", "awe"] for run in runs)
    assert {run["config"]["split"]["test"] for run in runs} == {0.3}


def test_predict_takes_ids_from_csv_and_evaluate_scores_the_predictions(
    call: Call, fresh: Path, tmp_path: Path
) -> None:
    assert call("train", "edge-emotion", *TINY, "-q", "--store", fresh)[0] == 0
    code, out, err = call("predict", "latest", "--train", "--store", fresh)
    assert code == 0 and "hmg_emo-" in out and "sql" in err
    result = json.loads(call("evaluate", "hmg", "--split", "train", "--json", "--store", fresh)[1])
    assert result["split"] == "train" and {"awe", "fear"} < {
        entry["class"] for entry in result["targets"]["emotion"]["classes"]
    }
    (tmp_path / "pairs.csv").write_text("user,image\nu0,i0\nu1,i1\n")
    predicted = json.loads(call("predict", "latest", "--ids", "pairs.csv", "--json", "--store", fresh)[1])
    assert predicted["predictions"] == 2 and predicted["run"].startswith("hmg_emo-")
    for text, words in (
        ("u0,i0\nu1,i1\n", "The first line of 'bad.csv' is ids (u0, i0); put a line with names above it."),
        (
            "user,image\nx,i0\ny,i1\n",
            "2 of 2 rows of 'bad.csv' are not predicted: line 2: no user has the id 'x'; line 3",
        ),
        ("first,second\nu0,i0\n", "does not say which column is the source and which the destination"),
        ("user,image\n", "needs a header, two columns of ids"),
    ):
        (tmp_path / "bad.csv").write_text(text)
        code, _, err = call("predict", "latest", "--ids", "bad.csv", "--store", fresh)
        assert code == 1 and words in err
    code, out, _ = call("evaluate", "latest", "--store", fresh)
    assert code == 0 and "weighted_f1" in out and "precision" in out and "awe" in out


def test_explain_prints_and_stores_explanations_of_a_pair_and_of_a_part(call: Call, fresh: Path) -> None:
    assert call("train", "edge-emotion", *TINY, "-q", "--store", fresh)[0] == 0
    code, out, err = call("explain", "latest", "--pair", "u0", "i0", "--top", "2", "--store", fresh)
    assert code == 0 and "emotion of u0 and i0: modality" in out and "sql" in err
    assert "image.vector" in out and "destination image" in out and "i0   user views image  u" in out
    code, out, _ = call("explain", "latest", "--limit", "5", "--store", fresh)
    assert code == 0 and "emotion of 5 examples: neighbour" in out and "mean_size" in out
    rows = json.loads(call("explain", "latest", "--limit", "3", "--json", "--store", fresh)[1])
    assert {row["kind"] for row in rows} == {"modality", "gate", "neighbour"}
    query = "select count(distinct (entity_id, other_id)) as n from explanations"
    assert json.loads(call("sql", query, "--json", "--store", fresh)[1])[0]["n"] >= 5
    assert call("explain", "latest", "--pair", "u0", "i0", "--node", "u0", "--store", fresh)[0] == 2
    code, _, err = call("explain", "latest", "--node", "u0", "--store", fresh)
    assert code == 1 and "two ids" in err
    assert call("explain", "nothing", "--store", fresh)[0] == 1


def test_runs_prints_means_over_seeds_or_each_run(call: Call, trained: Path) -> None:
    code, out, err = call("runs", "--store", trained)
    assert (code, err) == (0, "")
    assert "±" in out and "hmg_emo" in out
    assert len(json.loads(call("runs", "--each", "--json", "--store", trained)[1])) == 3
    assert len(json.loads(call("runs", "--json", "--task", "edge_emotion", "--store", trained)[1])) == 2
    each = call("runs", "--each", "--store", trained, "--dataset", "tiny")[1]
    assert each.count("majority-") == 2


def test_runs_on_changed_data_are_not_averaged(call: Call, fresh: Path) -> None:
    """They are no seeds of one training, and the table says that they were tested on other examples."""
    ask = ("train", "edge-emotion", "--model", "majority", "--store", fresh)
    assert call(*ask)[0] == 0
    with gs.open(fresh) as store:
        more = {"src": ["u0", "u1", "u2"], "dst": ["i0", "i0", "i1"], "emotions": [["awe"], ["fear"], ["awe"]]}
        store.write(VIEWS, pl.DataFrame(more), dataset="tiny")
        store.write(USER, pl.DataFrame({"id": ["new"], "age": [30.0]}), dataset="tiny")
        store.write(VIEWS, pl.DataFrame({"src": ["new"], "dst": ["i0"], "emotions": [["awe"]]}), dataset="tiny")
    code, out, err = call(*ask)
    assert code == 0 and "tested on" in out and "other test examples, and do not compare" in err
    rows = json.loads(call("runs", "--json", "--store", fresh)[1])
    assert [(row["runs"], len(row["split_ids"])) for row in rows] == [(1, 1), (1, 1)]
    assert rows[0]["split_ids"] != rows[1]["split_ids"]


def test_runs_of_a_store_without_runs_is_empty(call: Call, fresh: Path) -> None:
    code, out, err = call("runs", "--store", fresh)
    assert (code, out) == (0, "") and "There are no runs yet" in err
    assert call("runs", "--store", fresh, "--json")[1] == "[]\n"


# Reading


def test_sql_prints_a_table_json_or_csv(call: Call, trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    query = (
        "select 1 as a, 2 as a, timestamptz '2020-01-02 03:04:05Z' as time, map {'x': 0.5::float} as map, "
        "['p', 'q'] as list, 'nan'::double as nan, 1.5::decimal(4, 1) as share, 12::hugeint as huge, true as yes, "
        "null as nothing, 'two' || chr(10) || 'lines' as text"
    )
    records = json.loads(call("sql", query, "--json", "--store", trained)[1])
    assert records == [
        {
            "a": 1,
            "a_1": 2,
            "time": "2020-01-02T03:04:05+00:00",
            "map": {"x": 0.5},
            "list": ["p", "q"],
            "nan": None,
            "share": 1.5,
            "huge": 12,
            "yes": True,
            "nothing": None,
            "text": "two\nlines",
        }
    ]
    rows = list(csv.reader(io.StringIO(call("sql", query, "--csv", "--store", trained)[1])))
    assert rows[1][2:6] == ["2020-01-02T03:04:05+00:00", '{"x": 0.5}', '["p", "q"]', "nan"]
    assert rows[1][8:] == ["true", "", "two\nlines"]
    header, line = call("sql", query, "--store", trained)[1].splitlines()
    assert header.split()[:3] == ["a", "a", "time"] and line.endswith("two\\nlines")
    monkeypatch.setattr("sys.stdin", io.StringIO(query))
    assert json.loads(call("sql", "-", "--json", "--store", trained)[1]) == records
    assert call("sql", "select 1 as a where false", "--json", "--store", trained)[1] == "[]\n"
    assert call("sql", "select 1 as a where false", "--csv", "--store", trained)[1] == "a\n"
    assert call("sql", "select 1 as a where false", "--store", trained)[1] == "a\n"


def test_sql_prints_every_row_of_a_large_result(call: Call, trained: Path) -> None:
    query = "select range as a, range * 3 as b from range(5000)"
    assert len(json.loads(call("sql", query, "--json", "--store", trained)[1])) == 5000
    assert len(call("sql", query, "--csv", "--store", trained)[1].splitlines()) == 5001
    lines = call("sql", query, "--store", trained)[1].splitlines()
    assert len(lines) == 5001 and lines[-1].split() == ["4999", "14997"]
    assert (
        "boom"
        in call("sql", "select case when range > 4000 then error('boom') end from range(5000)", "--store", trained)[2]
    )


def test_every_column_is_printed_on_narrow_terminals(
    call: Call, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = "select " + ", ".join(f"'value number {n}' as column_{n}" for n in range(40))
    wanted = {f"column_{n}" for n in range(40)}
    assert set(call("sql", query, "--store", trained)[1].splitlines()[0].split()) == wanted
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes this for a terminal
    for width in ("20", "60", "400"):
        monkeypatch.setenv("COLUMNS", width)
        out = call("sql", query, "--store", trained)[1]
        assert all(f"column_{n}" in out and f"value number {n}" in out for n in range(40))
    monkeypatch.setenv("COLUMNS", "60")
    out = call("runs", "--store", trained)[1]
    assert out.count("hmg_emo") == 2  # two parts, each with the model's name


def test_parts_of_a_table_fit_and_begin_with_the_first_column() -> None:
    assert _parts([5, 5, 5], 19) == [[0, 1, 2]]
    assert _parts([5, 5, 5], 18) == [[0, 1], [0, 2]]
    assert _parts([5, 50], 40) == []


def test_control_characters_are_escaped_in_tables(call: Call, trained: Path) -> None:
    assert call("sql", "select chr(27) || '[2J' as evil", "--store", trained)[1] == "evil\n\\x1b[2J\n"


def test_info_lists_datasets_types_columns_and_runs(call: Call, trained: Path) -> None:
    code, out, err = call("info", "--store", trained)
    assert (code, err) == (0, "")
    assert "user views image" in out and "edge_user_views_image" in out and "categories" in out
    result = json.loads(call("info", "--json", "--store", trained)[1])
    assert [entry["name"] for entry in result["datasets"]] == ["tiny"]
    assert {entry["type"]: entry["rows"]["tiny"] for entry in result["nodes"]} == {"user": 24, "image": 12}
    assert result["edges"][0]["columns"][0]["role"] == "label"
    assert sum(entry["rows"] for entry in result["runs"]) == 3


def test_info_of_an_empty_store_prints_how_to_load_data(call: Call, tmp_path: Path) -> None:
    """What a killed first ingest leaves."""
    gs.open(tmp_path / "empty.duckdb").close()
    code, out, err = call("info", "--store", "empty.duckdb")
    assert (code, out) == (0, "")
    assert err == "'empty.duckdb' holds no data yet. Load some: graphsocial ingest SOURCE PATH\n"


def test_list_shows_names_settings_and_defaults(call: Call) -> None:
    for kind, name in (
        ("sources", "iesn"),
        ("featurizer", "sentence"),
        ("tasks", "edge-emotion"),
        ("models", "hmg_emo"),
        ("splits", "kfold"),
        ("training", "learning_rate=0.005"),
    ):
        code, out, _ = call("list", kind)
        assert code == 0 and name in out
    one = call("list", "models", "hmg-emo")[1]
    assert "backbone=gat  (gat | sage | graphconv)" in one and "message-passing layers" in one
    result = json.loads(call("list", "models", "--json")[1])
    layers = next(s for m in result if m["name"] == "hmg_emo" for s in m["settings"] if s["name"] == "layers")
    assert layers["default"] == 5 and layers["doc"]
    assert json.loads(call("list", "tasks", "edge-emotion", "--json")[1])["default_model"] == "hmg_emo"


def test_list_shows_dimensions_and_requirements_of_encoders(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from graphsocial.featurizers.base import Requires
    from graphsocial.featurizers.hash_text import HashText

    monkeypatch.setattr(HashText, "requires", Requires(("no-such-thing",), "faces"))
    listed = call("list", "featurizers")[1].splitlines()
    rows = {row.split()[0]: row for row in listed if row}
    assert "text" in rows["sentence"] and "384" in rows["sentence"] and "yes" in rows["sentence"]
    assert "table" in rows["metadata"] and "fitted" in rows["metadata"]
    assert rows["hash_text"].endswith("  no")
    assert "    not ready: no-such-thing: pip install 'graphsocial[faces]'" in listed
    assert rows["clip"].endswith("  no") and any("'clip-ViT-B-32' is not on this machine" in row for row in listed)
    assert rows["regions"].endswith("  no")  # neither its weights nor, perhaps, torchvision's operators
    entries = {entry["name"]: entry for entry in json.loads(call("list", "featurizers", "--json")[1])}
    assert (entries["vision"]["modalities"], entries["vision"]["dimension"]) == (["image"], 1280)
    assert (entries["vision"]["sequences"], entries["vision"]["missing"]) == (False, [])
    assert (entries["hash_text"]["missing"], entries["hash_text"]["dimension"]) == (["no-such-thing"], 256)
    assert "pip install 'graphsocial[faces]'" in call("list", "featurizers", "hash-text")[1]


def test_featurize_fits_encoders_on_the_training_rows_of_a_split(call: Call, trained: Path, tmp_path: Path) -> None:
    store = shutil.copy(trained, tmp_path / "copy.duckdb")

    def featurize(*arguments: str) -> tuple[int, str, str]:
        return call("featurize", "user", "--encoder", "metadata", *arguments, "--json", "--store", store)

    code, _, err = featurize()
    assert code == 1 and "'metadata' learns from the training rows of a split" in err
    split = json.loads(call("sql", "select split_id from splits", "--json", "--store", store)[1])[0]["split_id"]
    code, out, err = featurize("--split", split, "--set", "log_counts=false")
    assert code == 0, err
    (report,) = json.loads(out)
    assert (report["column"], report["rows"], report["empty"]) == ("user.*", 24, 0) and report["dimension"] == 2
    info = json.loads(call("info", "--json", "--store", store)[1])
    assert "user.*" in {use["column"] for entry in info["feature_sets"] for use in entry["columns"]}


# Messages and progress


def test_rates_are_short() -> None:
    assert [rate(speed) for speed in (None, 0, 0.2, 3.21, 999.6, 12345.6)] == [
        "",
        "",
        "5.0 s each",
        "3.2/s",
        "1,000/s",
        "12,346/s",
    ]


def test_progress_bars_are_printed_on_terminals_only_and_on_stderr(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Output().progress() as show:
        show("reading", 1, 2)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(os, "environ", {**os.environ, "TERM": "xterm"})
    for quiet, bars in ((True, False), (False, True)):
        with Output(quiet=quiet).progress() as show:
            show("reading", 1, 2)
            show("encoding", 1, 2)
        out, err = capsys.readouterr()
        assert out == "" and bool(err) is bars


def test_train_estimate_trains_nothing(call: Call, fresh: Path) -> None:
    code, out, err = call("train", "edge-emotion", *TINY, "--baselines", "--seeds", "3", "--estimate", "--store", fresh)
    assert code == 0
    assert "In all at most" in err
    line = next(line for line in out.splitlines() if line.startswith("hmg_emo"))
    assert line.split()[1] == "3" and "majority" in out and "train examples" in out
    result = json.loads(call("train", "edge-emotion", *TINY, "--estimate", "--json", "-q", "--store", fresh)[1])
    assert [(each["model"], each["trainings"], each["epochs"]) for each in result] == [("hmg_emo", 1, 2)]
    with gs.open(fresh, read_only=True) as store:
        assert store.first("select count(*) from runs") == (0,)


def test_the_kernel_is_recorded_and_scores_agree_between_kernels(call: Call, fresh: Path) -> None:
    metrics = []
    for kernel in ("auto", "dgl"):
        out = call("train", "edge-emotion", *TINY, "--kernel", kernel, "--json", "-q", "--store", fresh)[1]
        (run,) = json.loads(out)["runs"]
        assert run["config"]["fitting"]["kernel"] == kernel
        metrics.append(run["metrics"]["test"]["emotion"])
    assert metrics[0] == pytest.approx(metrics[1], abs=0.02)
    code, _, err = call("train", "edge-emotion", "--kernel", "cuda", "--store", fresh)
    assert code == 1 and "kernel" in err and "fused" in err


@pytest.mark.slow
def test_train_reports_content_that_could_not_be_encoded(call: Call, tmp_path: Path) -> None:
    small = [f"--set={given}" for given in ("users=60", "images=30", "contacts=100", "views=400", "groups=5")]
    assert call("-q", "synthesize", "iesn", tmp_path / "iesn", *small)[0] == 0
    pictures = sorted(path for path in (tmp_path / "iesn").rglob("*") if path.suffix in (".png", ".jpg"))
    pictures[0].write_bytes(b"no picture")
    pictures[1].unlink()
    assert call("-q", "ingest", "iesn", tmp_path / "iesn")[0] == 0
    code, _, err = call(
        "train", "edge-emotion", "--model", "features-only", "--epochs", "1", "--features", "image.title=none"
    )
    assert code == 0
    assert "2 rows of image.file cannot be encoded (table feature_rejects); the first: " in err


def test_a_failed_training_is_listed_as_failed(call: Call, fresh: Path) -> None:
    code, _, err = call("train", "edge-emotion", *TINY, "--set", "learning_rate=1e30", "--store", fresh)
    assert code == 1 and "lower learning rate" in err
    err = call("runs", "--store", fresh)[2]
    assert "Ended by an error: hmg_emo-" in err and "Not done" not in err
