"""Writing 197,561 predictions with eight probabilities each, against one bulk Arrow insert of the same table.

    python benchmarks/predictions.py

Ours starts from numpy arrays of ids, probabilities and codes, builds the Arrow table, deletes the run's earlier
predictions of these pairs and inserts, in one transaction. DuckDB's side starts from the finished Arrow table, with the
same columns and values, and inserts it into a table of the same columns in the same file.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from _harness import against, interleave, keep

import graphsocial as gs
from graphsocial.runs.predictions import Predictions, TargetPredictions
from graphsocial.runs.records import save_predictions
from graphsocial.tasks.edge_emotion import MIKELS
from graphsocial.types import Target

PAIRS, USERS, IMAGES = 197_561, 108_899, 85_157
RUN = "hmg_emo-0123456789abcdef"


def target_labels() -> Predictions:
    """Predictions of random pairs, as training passes them to the store."""
    random = np.random.default_rng(0)
    users = np.asarray([f"u{number:06d}" for number in range(USERS)], dtype=object)
    images = np.asarray([f"img{number:05d}" for number in range(IMAGES)], dtype=object)
    pairs = np.unique(random.integers(0, USERS * IMAGES, 2 * PAIRS))[:PAIRS]
    probabilities = random.dirichlet(np.ones(len(MIKELS)), PAIRS)
    truth = random.integers(0, len(MIKELS), PAIRS)
    return Predictions(
        "user views image",
        (users[pairs // IMAGES], images[pairs % IMAGES]),
        np.asarray(["train", "validation", "test"], dtype=object)[random.integers(0, 3, PAIRS)],
        (TargetPredictions(Target("emotion", classes=MIKELS), probabilities, truth, probabilities.argmax(1)),),
    )


def main() -> None:
    """Time both on empty tables, and check that they hold the same rows."""
    given = target_labels()
    with tempfile.TemporaryDirectory() as name, gs.open(Path(name) / "social.duckdb") as store:
        connection = store.connection

        def ours() -> None:
            save_predictions(store, RUN, task="edge-emotion", dataset="iesn", predictions=given)

        ours()
        table = store.sql("select * from predictions").to_arrow_table()
        connection.execute("create table plain as from predictions limit 0").fetchall()

        def peer() -> None:
            connection.register("bulk", table)
            connection.execute("insert into plain from bulk").fetchall()
            connection.unregister("bulk")

        def emptied(which: str) -> None:
            connection.execute(f"truncate {which}").fetchall()
            connection.execute("checkpoint").fetchall()

        timings = interleave(
            {"graphsocial": ours, "duckdb": peer},
            before={"graphsocial": lambda: emptied("predictions"), "duckdb": lambda: emptied("plain")},
        )
        connection.execute("update plain set created_at = null").fetchall()
        apart = store.first(
            "select count(*) from ((select * replace (null as created_at) from predictions) except (from plain))"
        )
        if apart != (0,) or store.first("select count(*) from predictions") != (PAIRS,):
            raise SystemExit(f"The sides hold different rows: {apart}")
    keep(
        "predictions",
        {
            "row": {
                "what": f"{PAIRS:,} predictions → store",
                "peer": "one bulk Arrow insert",
                "ours": "graphsocial",
                "theirs": "duckdb",
                "most": 2.0,
            },
            "rows": PAIRS,
            "seconds": timings,
            "ratio": against(timings["graphsocial"], timings["duckdb"]),
        },
    )


if __name__ == "__main__":
    main()
