"""Analyses in reports: sections about the stored ones, without other runs, and commands of the missing ones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from browsing import drawn, headings
from predicted import answer, write_run

import graphsocial as gs
from graphsocial import runs
from graphsocial.analysis import analyze
from graphsocial.errors import DataError, InputError, UnknownNameError
from graphsocial.reporting.analyses import sections, stored_analyses
from graphsocial.reporting.page import Chart, Prose, Table

pytest.importorskip("altair", reason="the packages of the extra `report` are not installed")
pytest.importorskip("vl_convert", reason="the packages of the extra `report` are not installed")

EMOTIONS = ("anger", "joy", "neutral", "sadness")


def write_dialogues(folder: Path) -> Path:
    """Dialogues in which an emotion mostly continues to the next turn, with vectors of two modalities."""
    random = np.random.default_rng(0)
    folder.mkdir()
    with (folder / "segments.jsonl").open("w") as file:
        for dialogue in range(40):
            emotion = int(random.integers(4))
            for turn in range(int(random.integers(4, 12))):
                emotion = emotion if random.random() < 0.6 else int(random.integers(4))
                row = {
                    "dialogue": f"d{dialogue}",
                    "turn": turn,
                    "speaker": ("Ana", "Ben", "Eve")[int(random.integers(3))],
                    "emotion": EMOTIONS[emotion],
                    "split": ("train", "train", "validation", "test")[dialogue % 4],
                    "text_vector": [float(emotion == n) + random.normal(0, 0.3) for n in range(4)],
                    "audio_vector": random.normal(0, 1, 3).tolist(),
                }
                file.write(json.dumps(row) + "\n")
    return folder


def write_posts(store: gs.GraphStore) -> None:
    """A small dataset of posts with shares, likes and emotions, linked at random."""
    random = np.random.default_rng(1)
    columns = (
        *(gs.Column(name, "integer", role="label") for name in ("shares", "likes")),
        *(gs.Column(name, "number") for name in ("text_emotion", "image_emotion")),
    )
    post, links = gs.NodeType("post", columns), gs.EdgeType("post", "links", "post")
    store.declare(gs.GraphSchema((post,), (links,)))
    text, image = random.integers(1, 6, 120), (random.random(120) < 0.4).astype(float)
    likes = np.exp(random.normal(3, 1, 120)).astype(int)
    shares = np.exp(random.normal(1 + 0.4 * text + 0.3 * image, 1)).astype(int)
    ids = [f"p{n}" for n in range(120)]
    rows = {"id": ids, "shares": shares, "likes": likes, "text_emotion": text.astype(float), "image_emotion": image}
    store.write(post, pl.DataFrame(rows), dataset="posts")
    ends = random.integers(0, 120, (2, 400))
    store.write(
        links, pl.DataFrame({"src": [ids[n] for n in ends[0]], "dst": [ids[n] for n in ends[1]]}), dataset="posts"
    )


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[gs.GraphStore]:
    folder = tmp_path_factory.mktemp("analyzed")
    with gs.open(folder / "s.duckdb") as opened:
        gs.ingest(opened, "dialogue", write_dialogues(folder / "talks"))
        settings = {"hidden": 8, "epochs": 2, "batch_size": 40}
        for model in ("msa", "lstm"):
            options = {"dataset": "talks", "split": "column:split", "settings": settings}
            gs.train(opened, "dialogue-emotion", model=model, **options)
        write_posts(opened)
        yield opened


def run_of(store: gs.GraphStore, model: str) -> gs.Run:
    return runs.load(store, model)


def test_commands_of_missing_analyses_are_listed(store: gs.GraphStore) -> None:
    (section,) = sections(store, "posts")
    (part,) = section.parts
    assert isinstance(part, Prose)
    assert [line.split(" – ")[0] for line in part.lines] == [
        "graphsocial analyze network --dataset posts",
        "graphsocial analyze popularity --dataset posts",
    ]
    (section,) = sections(store, "talks", run_of(store, "msa"))
    lines = section.parts[0].lines  # type: ignore[union-attr]  # a Prose
    assert [line.split()[2] for line in lines] == [
        "network",
        "emotion",
        "robustness",
        run_of(store, "msa").id,
    ]
    assert "--edges 'segment replies segment' --dataset talks" in lines[0]
    assert f"--run {run_of(store, 'msa').id}" in lines[2]


def test_dataset_report_shows_its_analyses(store: gs.GraphStore, tmp_path: Path) -> None:
    analyze(store, "network", dataset="posts", settings={"permutations": 19})
    analyze(store, "popularity", dataset="posts")
    page = gs.report(store, dataset="posts", output=tmp_path / "posts.html")
    assert headings(page) == ["Data", "Network: post links post", "Popularity: post"]
    assert drawn(page, tmp_path) == 9
    coefficients = store.sql("select * from popularity_regression where dataset = 'posts'").pl()
    text = page.read_text("utf-8")
    for row in coefficients.to_dicts():
        assert f"<td>{row['coefficient']:+.4f}</td>" in text, row
        assert f"R² = {row['r2']:.3f}" in text
    bins = store.sql("select * from popularity_histogram where dataset = 'posts'").pl()
    assert bins["nodes"].sum() == store.first("select count(*) from node_post where shares > 0")[0]  # type: ignore[index]


def test_run_report_shows_analyses_of_labels_and_of_its_predictions(store: gs.GraphStore, tmp_path: Path) -> None:
    reported, other = run_of(store, "msa"), run_of(store, "lstm")
    analyze(store, "emotion", dataset="talks", settings={"permutations": 19})
    for run in (reported, other):
        analyze(store, "emotion", dataset="talks", settings={"permutations": 19, "run": run.id})
        analyze(store, "robustness", dataset="talks", settings={"run": run.id, "shares": (0.5,), "draws": 1})
    page = gs.report(store, reported, output=tmp_path / "msa.html", inside=False, samples=100)
    assert headings(page)[-5:] == [
        *("Emotions in dialogues", f"Emotions in dialogues: {reported.id}", f"Robustness: {reported.id}"),
        *("Further analyses", "Model card"),
    ]
    assert other.id not in page.read_text("utf-8").partition("<script>")[0]
    assert drawn(page, tmp_path) >= 14
    all_sections = sections(store, "talks")
    assert sum(section.title.startswith("Robustness") for section in all_sections) == 2
    scores = store.sql("select missing, weighted_f1 from robustness_scores where run_id = ?", [reported.id]).fetchall()
    (robustness,) = [
        section for section in sections(store, "talks", reported) if section.title.startswith("Robustness")
    ]
    (table,) = [part for part in robustness.parts if isinstance(part, Table)]
    assert {(row[0], row[1]) for row in table.rows} == set(scores)
    (removed, shares) = [part for part in robustness.parts if isinstance(part, Chart)]
    assert "segment.text" in json.dumps(removed.spec) and '"share": 0.5' in json.dumps(shares.spec)


def test_analyses_without_a_section_are_shown_as_tables(store: gs.GraphStore, tmp_path: Path) -> None:
    (tmp_path / "sizes.py").write_text(
        "from dataclasses import dataclass\n"
        "import polars as pl\n"
        "from graphsocial.analysis.base import Findings\n\n"
        "@dataclass(frozen=True)\n"
        "class Sizes:\n"
        "    def analyze(self, store, dataset, *, progress=None):\n"
        "        return Findings({'rows': pl.DataFrame({'n': list(range(60))})}, {'of': 'all'}, ('A remark.',))\n"
    )
    analyze(store, str(tmp_path / "sizes.py"), dataset="posts")
    (section,) = [section for section in sections(store, "posts") if section.title == "Sizes: of all"]
    table, notes = section.parts
    assert isinstance(table, Table) and len(table.rows) == 50 and table.caption == "The first 50 of 60 rows."
    assert isinstance(notes, Prose) and notes.lines[0] == "A remark."


def test_assortativity_of_other_runs_is_left_out(social: gs.GraphStore) -> None:
    for name in ("a", "b"):
        write_run(
            social,
            name,
            [answer(f"u{n}", "i1", "awe" if n % 2 else "fear", [n % 3 * 0.4, 0.3, 0.5]) for n in range(1, 30)],
        )
    analyze(social, "network", settings={"permutations": 19, "run": "a"})
    (analysis,) = stored_analyses(social, social.dataset())
    assert "predictions of a" in set(analysis.frame("likeness")["source"])

    def tables(run: str) -> str:
        shown = sections(social, social.dataset(), runs.load(social, run))
        return " ".join(str(part.rows) for section in shown for part in section.parts if isinstance(part, Table))

    assert "predictions of a" in tables("a")
    assert "predictions of a" not in tables("b")


def test_analyses_by_an_earlier_version_are_shown(tmp_path: Path) -> None:
    """Without the columns that came later, and with the table of contagion that is gone."""
    with gs.open(tmp_path / "s.duckdb") as store:
        gs.ingest(store, "dialogue", write_dialogues(tmp_path / "talks"))
        write_posts(store)
        analyze(store, "emotion", dataset="talks", settings={"permutations": 19})
        analyze(store, "network", dataset="talks", settings={"permutations": 19, "edges": "segment replies segment"})
        analyze(store, "popularity", dataset="posts")
        for statement in (
            "alter table emotion_likeness rename to emotion_contagion",
            "update analyses set tables = [replace(name, 'emotion_likeness', 'emotion_contagion') for name in tables]",
            "update emotion_transitions set \"by\" = 'another' where \"by\" = 'another speaker'",
            *(f"alter table emotion_transitions drop {name}" for name in ("expected", "low", "high")),
            *(f"alter table network_likeness drop {name}" for name in ("within", "p_holm")),
            *(f"alter table popularity_regression drop {name}" for name in ("p_holm", "vif", "clusters")),
            "delete from popularity_regression where model = 'log_shares_centred'",
            "delete from popularity_shares where measure like 'fitted%'",
        ):
            store.connection.execute(statement).fetchall()
        titles = {
            part.title for name in ("talks", "posts") for section in sections(store, name) for part in section.parts
        }
        assert {"Transition probabilities", "Permutation test of assortativity", "Regression coefficients"} <= titles
        assert "Likeness along replies" not in titles
        analyze(store, "emotion", dataset="talks", settings={"permutations": 19})  # replaces the earlier rows
        assert store.sql("select count(*) from emotion_contagion").fetchall() == [(0,)]
        assert "Likeness along replies" in {
            part.title for section in sections(store, "talks") for part in section.parts
        }


def test_report_options_that_contradict_are_errors(store: gs.GraphStore, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="several datasets"):
        gs.report(store, output=tmp_path / "page.html")
    with pytest.raises(UnknownNameError, match="No dataset is called 'post'"):
        gs.report(store, dataset="post", output=tmp_path / "page.html")
    with pytest.raises(InputError, match="are for reports about a run"):
        gs.report(store, dataset="posts", by=["post.likes"], output=tmp_path / "page.html")
    with pytest.raises(InputError, match="A run already has a dataset"):
        gs.report(store, "latest", dataset="posts", output=tmp_path / "page.html")
    assert not list(tmp_path.iterdir())
