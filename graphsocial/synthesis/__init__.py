"""Writes a synthetic dataset in a source's own layout, with the true class probabilities of every label."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from graphsocial.errors import InputError, UnknownNameError
from graphsocial.synthesis.content import EMOTIONS
from graphsocial.synthesis.iesn import SyntheticIesn
from graphsocial.synthesis.notes import README as NOTES_README
from graphsocial.synthesis.notes import SyntheticNotes, write_notes
from graphsocial.synthesis.tables import README as IESN_README
from graphsocial.synthesis.tables import write_iesn
from graphsocial.types import Progress

__all__ = ["SyntheticIesn", "SyntheticNotes", "settings_of", "source_of", "synthesize"]

Settings = SyntheticIesn | SyntheticNotes
LAYOUTS: dict[str, tuple[type[Settings], str]] = {
    "iesn": (SyntheticIesn, "iesn"),
    "notes": (SyntheticNotes, "xiaohongshu"),
}
"""Layout → its settings, the source that reads it."""

GENERATOR = 1  # goes up when the same settings would write other bytes


def settings_of(layout: str) -> type[Settings]:
    """The settings of a layout, or an `UnknownNameError`."""
    if layout not in LAYOUTS:
        raise UnknownNameError.of("synthetic layout", layout, LAYOUTS)
    return LAYOUTS[layout][0]


def source_of(layout: str) -> str:
    """The source that reads a layout."""
    settings_of(layout)
    return LAYOUTS[layout][1]


def synthesize(
    layout: str, path: Path | str, *, settings: Settings | None = None, progress: Progress | None = None
) -> dict[str, int]:
    """Write a synthetic dataset into the folder `path`.

    The folder appears complete or not at all. Called again with the same settings it only reads the counts back.

    Args:
        layout: `iesn`, or `notes` for the layout of the source `xiaohongshu`.
        path: a folder that does not exist or is empty, or one that this function wrote.
        settings: sizes and strengths, of the layout's class; the defaults make a small dataset.
        progress: called with (what, done, of how many).

    Returns:
        Table → its rows.

    Raises:
        UnknownNameError: there is no such layout.
        InputError: the folder holds something else, or the settings are of another layout.
    """
    kind = settings_of(layout)
    settings, path = settings or kind(), Path(path).resolve()
    if not isinstance(settings, kind):
        raise InputError(f"The layout '{layout}' takes {kind.__name__}, not {type(settings).__name__}.")
    record: dict[str, Any] = {"layout": layout, "generator": GENERATOR, "settings": asdict(settings)}
    if path.exists():
        counts = _written_before(path, record)
        if counts:
            return counts
    partial = path.with_name(f".{path.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)  # what a killed run left behind
    partial.mkdir(parents=True)
    try:
        if isinstance(settings, SyntheticNotes):
            record["counts"], readme = write_notes(partial, settings), NOTES_README
        else:
            record["counts"] = write_iesn(partial, settings, progress or (lambda what, done, of: None))
            readme = IESN_README
        text = json.dumps(record, indent=2)
        (partial / "settings.json").write_text(text + "\n", encoding="utf-8")
        counts = dict(record["counts"])
        lines = "\n".join(f"- `{name}`: {count:,} rows" for name, count in counts.items())
        filled = readme.format(layout=layout, counts=lines, emotions=", ".join(EMOTIONS), settings=text)
        (partial / "README.md").write_text(filled, encoding="utf-8")
        if path.exists():
            path.rmdir()
        partial.rename(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return counts


def _written_before(path: Path, record: dict[str, Any]) -> dict[str, int] | None:
    """The counts of an equal dataset already in `path`, None where the folder is empty."""
    if not path.is_dir():
        raise InputError(f"'{path}' is a file; name a folder that does not exist yet.")
    try:
        written = json.loads((path / "settings.json").read_text(encoding="utf-8"))
        if {key: written[key] for key in record} == record:
            return {str(name): int(count) for name, count in written["counts"].items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        pass  # not a folder that `synthesize` wrote
    if any(path.iterdir()):
        raise InputError(
            f"The folder '{path}' is not empty and does not hold a synthetic dataset with these settings. "
            "Name another folder, or delete this one first."
        )
    return None
