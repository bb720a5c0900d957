"""The predictions view of a task is generated from its declaration; its columns are a contract."""

from __future__ import annotations

from pathlib import Path

import pytest
import reception

import graphsocial as gs
from graphsocial.tasks import create_view
from graphsocial.tasks.base import EdgeTask, NodeTask, Task
from graphsocial.tasks.dialogue_emotion import DialogueEmotion
from graphsocial.tasks.edge_emotion import EdgeEmotion
from graphsocial.tasks.popularity import Popularity
from graphsocial.types import EdgeType, NodeType, Target

TEXT, SCORE, NUMBER, SHARES, TIME = "VARCHAR", "FLOAT", "DOUBLE", "MAP(VARCHAR, FLOAT)", "TIMESTAMP WITH TIME ZONE"
BUILT_IN: dict[Task, dict[str, str]] = {
    EdgeEmotion(): {
        **{"run_id": TEXT, "dataset": TEXT, "edge": TEXT, "user_id": TEXT, "image_id": TEXT},
        **{"emotion": TEXT, "confidence": SCORE, "probabilities": SHARES},
        **{"split": TEXT, "true_emotion": TEXT, "created_at": TIME},
    },
    DialogueEmotion(): {
        **{"run_id": TEXT, "dataset": TEXT, "segment_id": TEXT},
        **{"emotion": TEXT, "emotion_confidence": SCORE, "emotion_probabilities": SHARES},
        **{"sentiment": TEXT, "sentiment_confidence": SCORE, "sentiment_probabilities": SHARES},
        **{"split": TEXT, "true_emotion": TEXT, "true_sentiment": TEXT, "created_at": TIME},
    },
    Popularity(): {
        **{"run_id": TEXT, "dataset": TEXT, "node": TEXT, "post_id": TEXT},
        **{"shares": NUMBER, "lower": NUMBER, "upper": NUMBER},
        **{"popularity": TEXT, "confidence": SCORE, "probabilities": SHARES},
        **{"split": TEXT, "true_shares": NUMBER, "true_popularity": TEXT, "created_at": TIME},
    },
}


def columns(store: gs.GraphStore, view: str) -> dict[str, str]:
    return {name: kind for name, kind, *_ in store.sql(f"describe {view}").fetchall()}


@pytest.mark.parametrize("task", BUILT_IN, ids=lambda task: task.name)
def test_the_views_of_built_in_tasks_keep_their_columns(task: Task, tmp_path: Path) -> None:
    entity = NodeType("anything") if task.level == "node" else EdgeType("user", "views", "image")
    with gs.open(tmp_path / "views.duckdb") as store:
        create_view(store, task, entity, task.targets)
        view_columns = columns(store, f"{task.name.replace('-', '_')}_predictions")
    assert view_columns == BUILT_IN[task] and list(view_columns) == list(BUILT_IN[task])


def test_a_view_names_the_ids_and_targets_of_its_task(tmp_path: Path) -> None:
    class Two(EdgeTask):
        targets = (Target("valence", "regression"), Target("mood"), Target("arousal", "regression"))

    class Open(NodeTask):
        """Which declares no targets: those of the run are shown."""

    with gs.open(tmp_path / "views.duckdb") as store:
        create_view(store, Two(), EdgeType("user", "follows", "user"), Two.targets)
        assert list(columns(store, "two_predictions"))[2:13] == [
            *("edge", "src_id", "dst_id", "valence", "valence_lower", "valence_upper"),
            *("arousal", "arousal_lower", "arousal_upper", "mood", "confidence"),
        ]
        create_view(store, Open(), NodeType("user"), (Target("gender"),))
        assert list(columns(store, "open_predictions"))[2:5] == ["node", "user_id", "gender"]


def test_a_view_has_one_row_a_run_and_example_with_all_targets(posts: gs.GraphStore) -> None:
    run = gs.train(posts, reception.Reception(), model="majority")
    view, rows = (
        posts.sql(query, [run.id]).fetchall()
        for query in (
            "select post_id, shares, mood, confidence, split, true_shares, true_mood from reception_predictions "
            "where run_id = ? order by post_id",
            "select n.entity_id, n.value, c.label, c.confidence, n.split, n.true_value, c.true_label "
            "from predictions as n join predictions as c using (run_id, entity_id) "
            "where run_id = ? and n.target = 'shares' and c.target = 'mood' order by entity_id",
        )
    )
    assert view == rows and len(view) > 30
