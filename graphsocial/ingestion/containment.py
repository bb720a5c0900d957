"""Where the files of a dataset may lie: under the folder that the user named, unless the user allows others."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

from graphsocial.errors import InputError
from graphsocial.sources.base import Plan, Source

VARIABLE = "DATA"  # an environment variable of this name, or whose name ends with _DATA, names a folder of data


def check_inside(plan: Plan, source: Source, path: Path) -> None:
    """Check that a plan's folder and files are those that the user named: a mapping is data, and may name any path.

    The user names the folder, or the folder of the mapping; what settings name, such as `root`; and the folder in an
    environment variable such as `GRAPHSOCIAL_DATA`. A source in the user's own file is code, which is not checked.

    Args:
        plan: what the source made of `path`.
        source: the configured source.
        path: what the user gave.

    Raises:
        InputError: a file lies elsewhere, or is no regular file.
    """
    for table in plan.tables:
        for file in table.files:
            if not file.is_file():  # a device would never end
                raise InputError(f"'{file}' of table '{table.name}' is no regular file.")
    if not type(source).__module__.startswith("graphsocial."):
        return
    named = [folder.resolve() for folder in _named(source, path)]
    root = plan.root.resolve()
    if not any(root.is_relative_to(folder) for folder in named):
        raise _outside(f"Its folder '{root}'", path)
    for table in plan.tables:
        for file in table.files:
            real = file.resolve()
            if not any(real.is_relative_to(folder) for folder in (root, *named[1:])):
                raise _outside(f"The file '{file}' of table '{table.name}'", path)


def _named(source: Source, path: Path) -> Iterator[Path]:
    """The folder of `path`, then what settings and the environment name."""
    yield path if path.is_dir() else path.resolve().parent
    for field in fields(source):  # type: ignore[arg-type]  # a source is a dataclass
        value = getattr(source, field.name)
        if isinstance(value, Path):
            yield value
    for name, value in os.environ.items():
        if value and (name == VARIABLE or name.endswith(f"_{VARIABLE}")):
            yield Path(value)


def _outside(what: str, path: Path) -> InputError:
    return InputError(
        f"{what} lies outside of what you named ('{path}'). If you trust it, give --allow-outside; or name the folder: "
        "--set root=FOLDER, or a path in the mapping that begins with ${GRAPHSOCIAL_DATA}, which you set."
    )
