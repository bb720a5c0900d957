"""The commands that bring data in: synthesize, ingest, featurize."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from .options import CodeOption, DatasetOption, Session, SetOption, pairs, settings


def synthesize(
    layout: Annotated[str, typer.Argument(metavar="LAYOUT", help="Layout of the files: iesn or notes.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to write; must not exist yet or be empty.")],
    *,
    users: Annotated[int | None, typer.Option(metavar="N", min=1, help="Number of users.")] = None,
    images: Annotated[int | None, typer.Option(metavar="N", min=1, help="Number of images.")] = None,
    views: Annotated[int | None, typer.Option(metavar="N", min=1, help="Number of labelled views.")] = None,
    contacts: Annotated[int | None, typer.Option(metavar="N", min=1, help="Number of edges between users.")] = None,
    groups: Annotated[int | None, typer.Option(metavar="N", min=1, help="Number of groups.")] = None,
    preset: Annotated[
        str, typer.Option(metavar="NAME", help="Sizes: small, or iesn or eijl for those of the paper.")
    ] = "small",
    seed: Annotated[
        int | None, typer.Option(metavar="S", help="Random seed of the data.", show_default="the preset's")
    ] = None,
    set_: SetOption = None,
    session: Session,
) -> None:
    """Write a synthetic dataset whose label probabilities are known, for demos and tests."""
    from graphsocial.plugins import configure
    from graphsocial.synthesis import settings_of, source_of
    from graphsocial.synthesis import synthesize as write

    sizes = {"users": users, "images": images, "views": views, "contacts": contacts, "groups": groups, "seed": seed}
    given = settings(set_) | {name: value for name, value in sizes.items() if value is not None}
    kind = settings_of(layout)
    configured = configure(kind, asdict(kind.preset(preset)) | given)
    with session.out.progress() as progress:
        counts = write(layout, folder, settings=configured, progress=progress)
    if session.out.json:
        return session.out.value({"folder": str(folder), "rows": counts})
    session.out.table(["table", "rows"], counts.items())
    session.out.say(f"Next: {session.command('ingest', source_of(layout), str(folder))}")


def ingest(
    source: Annotated[
        str,
        typer.Argument(metavar="SOURCE", help="Name of the source, or a Python file; see 'graphsocial list sources'."),
    ],
    path: Annotated[Path, typer.Argument(metavar="PATH", help="Folder or file to read.")],
    *,
    map_: Annotated[
        Path | None,
        typer.Option(
            "--map",
            metavar="FILE.yaml",
            help="Mapping of file and column names, for sources that take one.",
            show_default=False,
        ),
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name of the dataset in the store.", show_default="the folder's")
    ] = None,
    reject_limit: Annotated[
        float, typer.Option(metavar="SHARE", min=0, max=1, help="Maximum share of rejected rows in a file.")
    ] = 0.5,
    allow_outside: Annotated[
        bool,
        typer.Option(
            "--allow-outside", metavar="", help="Read files, and later images, that lie outside of PATH's folder too."
        ),
    ] = False,
    set_: SetOption = None,
    session: Session,
) -> None:
    """Load raw files into the store as one dataset; creates the store if there is none."""
    from graphsocial.ingestion import ingest as load

    with session.create() as opened, session.out.progress() as progress:
        report = load(
            opened,
            source,
            path,
            dataset=dataset,
            settings=settings(set_),
            map=map_,
            reject_limit=reject_limit,
            allow_outside=allow_outside,
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
    rejects = [
        (table, reason, rows) for table, reasons in report["rejects"].items() for reason, rows in reasons.items()
    ]
    session.out.table(["table", "rejected because", "rows"], rejects, title="Rejected rows")
    _say_what_was_left_out(session.out.say, report, session.command("sql", "select * from rejects"))


def _say_what_was_left_out(say: Any, report: dict[str, Any], query: str) -> None:
    if not report["changed"]:
        say("The same files with the same settings were in the store already; nothing was written.")
    if report["rejects"]:
        say(f"All rejected rows: {query}")
    for note in report["notes"]:
        say(note)
    for table, names in report["ignored"].items():
        say(f"Ignored columns of '{table}': {', '.join(names)}")
    if report["missing_images"]:
        say(f"{report['missing_images']:,} rows name an image file that does not exist.")


def featurize(
    what: Annotated[
        str,
        typer.Argument(
            metavar="WHAT", help="Node type (image) or column (group.description, 'user views image.comment')."
        ),
    ],
    *,
    encoder: Annotated[
        str | None,
        typer.Option(
            metavar="NAME[:MODEL]",
            help="Encoder, see 'graphsocial list featurizers'; a Python file; or tmsam:RUN, a trained model.",
            show_default="the encoder of the column's kind",
        ),
    ] = None,
    set_: SetOption = None,
    dataset: DatasetOption = None,
    split: Annotated[
        str | None,
        typer.Option(
            metavar="ID",
            help="Id of a split in the store, for encoders that are fitted (metadata): on its training rows.",
            show_default=False,
        ),
    ] = None,
    allow_code: CodeOption = False,
    session: Session,
) -> None:
    """Encode texts, images, sounds and rows as feature vectors; content that has vectors is not encoded again."""
    from graphsocial.features import featurize as encode
    from graphsocial.prediction.embedding import embed, encoder_run

    with session.write(allow_code=allow_code) as opened, session.out.progress() as progress:
        run = encoder_run(opened, what, encoder)
        if run is not None:
            encoded = [embed(opened, run, progress=progress)]
        else:
            encoded = encode(
                opened,
                what,
                encoder_name(encoder),
                settings=settings(set_),
                dataset=dataset,
                split=split,
                progress=progress,
            )
    reports = [report.to_dict() for report in encoded]
    if session.out.json:
        return session.out.value(reports)
    columns = ["column", "encoder", "dimension", "rows", "encoded", "reused", "rejected", "empty"]
    session.out.table(columns, [[report[name] for name in columns] for report in reports])
    if any(report["rejected"] for report in reports):
        session.out.say(f"All rejected rows: {session.command('sql', 'select * from feature_rejects')}")


def encoders(given: list[str] | None) -> dict[str, str | None]:
    """`--features`: column → encoder, None where the column is left out."""
    specs = pairs(given, option="--features")
    return {column: None if spec == "none" else encoder_name(spec) for column, spec in specs.items()}


def encoder_name(spec: str | None) -> str | None:
    """`hash-text:…` as the library calls it, `hash_text:…`; a name that is no featurizer's stays as it is."""
    if spec is None:
        return None
    from graphsocial.plugins import names
    from graphsocial.specs import Spec

    def registered(part: Spec) -> Spec:
        name = part.name.replace("-", "_")
        return replace(part, text=name + part.text.removeprefix(part.name)) if name in names("featurizer") else part

    return "+".join(str(registered(part)) for part in Spec.parse_all(spec))
