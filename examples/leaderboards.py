"""Leaderboards on real data: trained, compared and audited, with every command and its output, in Markdown.

    GRAPHSOCIAL_DATA=/folder/with/the/data python examples/leaderboards.py affectivedynamics > affectivedynamics.md
    GRAPHSOCIAL_DATA=/folder/with/the/data python examples/leaderboards.py hin_yelp > hin_yelp.md

Everything is kept in a store, `affectivedynamics.duckdb` or the file named as the last argument: finished runs are not
trained again, and interrupted work resumes. Neither the data nor the splits come with graphsocial; the
files `examples/NAME.yaml` say where the data is from. A split is a folder `splits/NAME` with the ids of its parts in
`train.csv`, `val.csv` and `test.csv`, gzipped or not.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import graphsocial as gs
from graphsocial.auditing import audit
from graphsocial.cli.main import main as graphsocial

EXAMPLES = Path(__file__).parent
LEFT_OUT = ["race", "education", "region", "residence", "marital_status", "income", "smartphone_hours"]
OPTIONS = {
    "affectivedynamics": {
        "affectivedynamics_random": "--epochs 100 --set layers=1 --set label_messages=true --set interaction=64 "
        "--set identity=image --set dropout=0.35 --set also=valence,arousal --set select=log_loss",
        "affectivedynamics_unseen_user": "--set layers=1 --set label_messages=true --set interaction=32 "
        "--set identity=image --set select=log_loss " + " ".join(f"--features user.{name}=none" for name in LEFT_OUT),
    },
    "hin_yelp": {
        "hin_yelp_random": "--epochs 20 --set layers=2 --set label_messages=true --set interaction=32 "
        "--set select=log_loss",
    },
}
"""Dataset → split → options, chosen on its validation part."""
BASELINES = ("bias", "features_only")
RUNS = "select run_id from runs where status = 'done' and split = ? and model = ? order by seed, started_at desc"
AUDITS = (
    "select model, count(distinct run_id) as runs, count(*) as checks, count(*) filter (verdict = 'leak') as leaks "
    "from audits join runs using (run_id) where split = 'file:{split}' group by model order by model"
)


def main(dataset: str, store: str | None = None, *, extra: Sequence[str] = ("--seeds", "5")) -> None:
    """Train, compare and audit on every split of a dataset, and print all of it.

    Args:
        dataset: a key of `OPTIONS`.
        store: file of the store; `DATASET.duckdb` by default.
        extra: further options of every training; they override earlier ones.
    """
    data = Path(os.environ.get("GRAPHSOCIAL_DATA", "data")).resolve()
    if not (data / dataset).is_dir():
        sys.exit(f"There is no folder '{data / dataset}': set GRAPHSOCIAL_DATA to the folder that holds {dataset}/.")
    os.environ["GRAPHSOCIAL_DATA"] = str(data)
    file = store or f"{dataset}.duckdb"
    run(file, data, ["ingest", "table", str(EXAMPLES / f"{dataset}.yaml")])
    for split, options in OPTIONS[dataset].items():
        policy = f"file:{data / 'splits' / split}"
        run(file, data, ["train", "edge-emotion", "--baselines", "--split", policy, *options.split(), *extra])
        run_ids = {model: trained(file, split, model) for model in ("hmg_emo", *BASELINES)}
        ours, baseline = run_ids["hmg_emo"][0], run_ids[BASELINES[0]][0]
        run(file, data, ["compare", ours, baseline, "--target", "emotion"])
        run(file, data, ["audit", ours])
        with gs.open(file) as opened:
            for other in {run_id for of_model in run_ids.values() for run_id in of_model} - {ours}:
                audit(opened, other, quick=True)
        run(file, data, ["sql", AUDITS.format(split=split)])


def trained(file: str, split: str, model: str) -> list[str]:
    """Ids of a model's finished runs on a split, by seed.

    Args:
        file: the store.
        split: name of the split's folder.
        model: name of the model.
    """
    with gs.open(file, read_only=True) as store:
        return [run_id for (run_id,) in store.sql(RUNS, [f"file:{split}", model]).fetchall()]


def run(file: str, data: Path, arguments: Sequence[str]) -> None:
    """Run one command of graphsocial, and print it with its output and with `$GRAPHSOCIAL_DATA` for the data's folder.

    Of trainings, the leaderboards are printed and the single runs are not.

    Args:
        file: the store.
        data: the folder that is printed as `$GRAPHSOCIAL_DATA`.
        arguments: of the command.

    Raises:
        SystemExit: the command failed; an audit fails if there is a leak.
    """
    words = [f'"{word}"' if " " in word else word for word in arguments]
    command = " ".join(words).replace(str(data), "$GRAPHSOCIAL_DATA").replace(str(EXAMPLES), "examples")
    with redirect_stdout(StringIO()) as output:
        code = graphsocial(["--store", file, *arguments])
    print(f"```console\n$ graphsocial {command}\n{output.getvalue().partition('Runs')[0].strip()}\n```\n", flush=True)
    if code:
        sys.exit(code)


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3) or sys.argv[1] not in OPTIONS:
        sys.exit(f"Name one of {', '.join(OPTIONS)}, and a store if you like.")
    main(*sys.argv[1:])
