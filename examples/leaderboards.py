"""The leaderboards on real data: trained, compared and audited, with every command and what it says, in Markdown.

    GRAPHSOCIAL_DATA=/folder/with/the/data python examples/leaderboards.py affectivedynamics > affectivedynamics.md
    GRAPHSOCIAL_DATA=/folder/with/the/data python examples/leaderboards.py hin_yelp > hin_yelp.md

Everything is kept in a store beside, `affectivedynamics.duckdb` or another that is named last: what is trained already
is not trained again, and work that was interrupted goes on. Neither the data nor the splits come with graphsocial; the
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
"""Dataset → split → the options that its validation part chose."""
RIVALS = ("user_image_bias", "features_only")
RUNS = "select run_id from runs where status = 'done' and split = ? and model = ? order by seed, started_at desc"
AUDITS = (
    "select model, count(distinct run_id) as runs, count(*) as checks, count(*) filter (verdict = 'leak') as leaks "
    "from audits join runs using (run_id) where split = 'file:{split}' group by model order by model"
)


def main(dataset: str, store: str | None = None, *, extra: Sequence[str] = ("--seeds", "5")) -> None:
    """Train, compare and audit on every split of a dataset, and print it all.

    Args:
        dataset: a key of `OPTIONS`.
        store: the file; `DATASET.duckdb` by default.
        extra: further options of every training, which come last and so count.
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
        found = {model: trained(file, split, model) for model in ("hmg_emo", *RIVALS)}
        ours, rival = found["hmg_emo"][0], found[RIVALS[0]][0]
        run(file, data, ["compare", ours, rival, "--target", "emotion"])
        run(file, data, ["audit", ours])
        with gs.open(file) as opened:
            for other in {name for names in found.values() for name in names} - {ours}:
                audit(opened, other, quick=True)
        run(file, data, ["sql", AUDITS.format(split=split)])


def trained(file: str, split: str, model: str) -> list[str]:
    """The runs of a model on a split, by seed."""
    with gs.open(file, read_only=True) as store:
        return [name for (name,) in store.sql(RUNS, [f"file:{split}", model]).fetchall()]


def run(file: str, data: Path, arguments: Sequence[str]) -> None:
    """Give one command to graphsocial, and print it with what it says, the data's folder by its variable's name.

    Of trainings the leaderboards are printed, and not the runs one by one, which the store has.

    Raises:
        SystemExit: the command failed, as an audit does that finds a leak.
    """
    words = [f'"{word}"' if " " in word else word for word in arguments]
    command = " ".join(words).replace(str(data), "$GRAPHSOCIAL_DATA").replace(str(EXAMPLES), "examples")
    with redirect_stdout(StringIO()) as told:
        code = graphsocial(["--store", file, *arguments])
    print(f"```console\n$ graphsocial {command}\n{told.getvalue().partition('Runs')[0].strip()}\n```\n", flush=True)
    if code:
        sys.exit(code)


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3) or sys.argv[1] not in OPTIONS:
        sys.exit(f"Name one of {', '.join(OPTIONS)}, and a store if you like.")
    main(*sys.argv[1:])
