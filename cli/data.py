"""The commands that bring data in: synthesize, ingest, featurize."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from .options import DatasetOption, JsonOption, QuietOption, SetOption, StoreOption, pairs, settings, settle

Count = Annotated[int | None, typer.Option(metavar="N", min=1, show_default=False)]


def synthesize(
    ctx: typer.Context,
    layout: Annotated[str, typer.Argument(metavar="LAYOUT", help="What to write: iesn or notes.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that does not exist yet, or is empty.")],
    users: Count = None,
    images: Count = None,
    views: Count = None,
    contacts: Count = None,
    groups: Count = None,
    preset: Annotated[
        str, typer.Option(metavar="NAME", help="small, or iesn or eijl for the size of the paper.")
    ] = "small",
    seed: Annotated[int | None, typer.Option(metavar="S", help="The same seed writes the same files.")] = None,
    set_: SetOption = None,
    store: StoreOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Write a synthetic dataset with a known answer, to try things on."""
    session = settle(ctx, store, json, quiet)
    from graphsocial.plugins import configure
    from graphsocial.synthesis import settings_of, source_of
    from graphsocial.synthesis import synthesize as write

    sizes = {"users": users, "images": images, "views": views, "contacts": contacts, "groups": groups, "seed": seed}
    given = settings(set_) | {name: value for name, value in sizes.items() if value is not None}
    kind = settings_of(layout)
    chosen = configure(kind, asdict(kind.preset(preset)) | given)
    with session.out.progress() as progress:
        counts = write(layout, folder, settings=chosen, progress=progress)
    if session.out.json:
        return session.out.value({"folder": str(folder), "rows": counts})
    session.out.table(["table", "rows"], counts.items())
    session.out.say(f"Next: {session.command('ingest', source_of(layout), str(folder))}")


def ingest(
    ctx: typer.Context,
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="Who reads it; see 'graphsocial list sources'.")],
    path: Annotated[Path, typer.Argument(metavar="PATH", help="The folder or file.")],
    map_: Annotated[
        Path | None,
        typer.Option("--map", metavar="FILE.yaml", help="Other file and column names, for sources with a map."),
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(metavar="NAME", help="The dataset's name in the store; the folder's by default.")
    ] = None,
    reject_limit: Annotated[
        float, typer.Option(metavar="SHARE", min=0, max=1, help="More of one file's rows rejected is an error.")
    ] = 0.5,
    set_: SetOption = None,
    store: StoreOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Bring raw files into the store as one dataset; makes the store if there is none."""
    session = settle(ctx, store, json, quiet)
    from graphsocial.ingestion import ingest as bring_in

    with session.create() as opened, session.out.progress() as progress:
        report = bring_in(
            opened,
            source,
            path,
            dataset=dataset,
            settings=settings(set_),
            map=map_,
            reject_limit=reject_limit,
            progress=progress,
        ).to_dict()
    if session.out.json:
        return session.out.value(report)
    left_out = report["left_out"]
    columns = ["type", "rows"] + (["left out"] if left_out else [])
    session.out.table(
        columns,
        [(name, rows, left_out.get(name, 0))[: len(columns)] for name, rows in report["rows"].items()],
        title=f"{report['dataset']} in {session.path}",
    )
    rejects = [(table, reason, rows) for table, found in report["rejects"].items() for reason, rows in found.items()]
    session.out.table(["table", "rejected because", "rows"], rejects, title="Rejected rows")
    _say_what_was_left(session.out.say, report, session.command("sql", "select * from rejects"))


def _say_what_was_left(say: Any, report: dict[str, Any], look: str) -> None:
    if not report["changed"]:
        say("The same files with the same settings were in the store already; nothing was written.")
    if report["rejects"]:
        say(f"See each rejected row: {look}")
    for table, names in report["ignored"].items():
        say(f"Ignored columns of '{table}': {', '.join(names)}")
    if report["missing_images"]:
        say(f"{report['missing_images']:,} rows name an image file that is not there.")


def featurize(
    ctx: typer.Context,
    what: Annotated[
        str,
        typer.Argument(
            metavar="WHAT", help="A type (image), or a column (group.description, 'user views image.comment')."
        ),
    ],
    encoder: Annotated[
        str | None,
        typer.Option(
            metavar="NAME[:MODEL]",
            help="See 'graphsocial list featurizers'; the kind's default by default. Or tmsam:RUN, a trained model.",
        ),
    ] = None,
    set_: SetOption = None,
    dataset: DatasetOption = None,
    split: Annotated[
        str | None,
        typer.Option(
            metavar="ID", help="A split in the store, for encoders that learn (metadata): they see its training rows."
        ),
    ] = None,
    store: StoreOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Turn texts, images, sounds and rows into vectors; only content that has none yet is encoded."""
    session = settle(ctx, store, json, quiet)
    from graphsocial.features import featurize as encode
    from graphsocial.prediction.embedding import embed, run_named

    given = settings(set_)
    with session.write() as opened, session.out.progress() as progress:
        run = run_named(opened, what, encoder)
        if run is not None:
            reports = [embed(opened, run, progress=progress)]
        else:
            name = encoder_name(encoder)
            reports = encode(opened, what, name, settings=given, dataset=dataset, split=split, progress=progress)
    found = [report.to_dict() for report in reports]
    if session.out.json:
        return session.out.value(found)
    columns = ["column", "encoder", "dimension", "rows", "encoded", "reused", "rejected", "empty"]
    session.out.table(columns, [[report[name] for name in columns] for report in found])
    if any(report["rejected"] for report in found):
        session.out.say(f"See each rejected row: {session.command('sql', 'select * from feature_rejects')}")


def encoders(given: list[str] | None) -> dict[str, str | None]:
    """`--features`: column → encoder, None where the column is left out."""
    found = pairs(given, option="--features")
    return {column: None if name == "none" else encoder_name(name) for column, name in found.items()}


def encoder_name(spec: str | None) -> str | None:
    """`hash-text:…` as the library calls it, `hash_text:…`; what is no featurizer's name stays as it is."""
    if spec is None:
        return None
    from graphsocial.plugins import names

    found = []
    for one in spec.split("+"):
        name = re.split("[:,]", one)[0]
        known = name.replace("-", "_")
        found.append(f"{known}{one[len(name) :]}" if known in names("featurizer") else one)
    return "+".join(found)
