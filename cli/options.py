"""What every command takes: which store, how to print, how loud; and how settings are written."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .render import Output

if TYPE_CHECKING:
    from graphsocial.store import GraphStore

DEFAULT_STORE = "graphsocial.duckdb"

StoreOption = Annotated[
    Path | None,
    typer.Option(
        "--store",
        metavar="FILE",
        help=f"The store. By default $GRAPHSOCIAL_STORE, else {DEFAULT_STORE} in the current folder.",
        show_default=False,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", metavar="", help="Print data as JSON.")]
QuietOption = Annotated[
    bool, typer.Option("--quiet", "-q", metavar="", help="Print no talk and no progress on stderr.")
]
DatasetOption = Annotated[
    str | None, typer.Option("--dataset", metavar="NAME", help="Needed where the store holds several.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="A setting; may be given several times. See 'graphsocial list'."),
]
FeaturesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--features",
        metavar="COLUMN=ENCODER",
        help="Such as image.file=vision:resnet50; several joined by +; none leaves a column out. "
        "segment=tmsam:RUN: vectors that 'featurize segment' made of whole rows.",
    ),
]

TaskArgument = Annotated[str, typer.Argument(metavar="TASK", help="See 'graphsocial list tasks'.")]
RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="A run's id, the start of it, or latest.")]
ModelOption = Annotated[
    str | None, typer.Option(metavar="M", help="See 'graphsocial list models'; the task's default by default.")
]
EpochsOption = Annotated[int | None, typer.Option(metavar="N", min=1, help="At most so many.", show_default=False)]
SplitOption = Annotated[
    str | None, typer.Option(metavar="POLICY", help="See 'graphsocial list splits'; random by default.")
]
PartOption = Annotated[str, typer.Option("--split", metavar="PART", help="train, validation or test.")]
GroupsOption = Annotated[
    list[str] | None,
    typer.Option(metavar="SQL", help="Scores by group, such as user.gender; may be given several times."),
]
SamplesOption = Annotated[int, typer.Option(metavar="N", help="Of the bootstrap.")]


@dataclass(frozen=True)
class Session:
    """One call: the store it works on and how it prints."""

    path: Path
    out: Output

    @contextmanager
    def read(self) -> Iterator[GraphStore]:
        """The store, to look at."""
        from graphsocial.store import open

        self._require()
        with open(self.path, read_only=True) as store:
            yield store

    @contextmanager
    def write(self) -> Iterator[GraphStore]:
        """The store, to add to; it must be there."""
        from graphsocial.store import open

        self._require()
        with open(self.path) as store:
            yield store

    @contextmanager
    def create(self) -> Iterator[GraphStore]:
        """The store, made if it is not there; one that was made for nothing is taken away again."""
        from graphsocial.store import open

        new, kept = not self.path.exists(), False
        try:
            with open(self.path) as store:
                yield store
                kept = True
        finally:
            if new and not kept:
                for path in (self.path, self.path.with_name(f"{self.path.name}.wal")):
                    if path.exists():  # in a folder that cannot be written, none was made
                        path.unlink()

    def _require(self) -> None:
        if not self.path.exists():
            from graphsocial.errors import StoreError

            raise StoreError(
                f"There is no store '{self.path}'; ingest a dataset first (graphsocial ingest SOURCE PATH), "
                "or name another one with --store."
            )

    def command(self, *words: str) -> str:
        """A command to type next, on this store."""
        store = [] if str(self.path) == default_store() else ["--store", str(self.path)]
        quoted = [f'"{word}"' if " " in word and '"' not in word else shlex.quote(word) for word in words]
        return " ".join(["graphsocial", *(shlex.quote(word) for word in store), *quoted])


@dataclass(frozen=True)
class Before:
    """The options that were given before the command's name."""

    store: Path | None = None
    json: bool = False
    quiet: bool = False


@contextmanager
def resumable() -> Iterator[None]:
    """Ctrl-C says that nothing is lost."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt("the same command goes on where this one stopped") from None


def default_store() -> str:
    """The store that is meant when none is named."""
    return os.environ.get("GRAPHSOCIAL_STORE") or DEFAULT_STORE


def settle(ctx: typer.Context, store: Path | None, json: bool, quiet: bool) -> Session:
    """The command's own options win over those before it."""
    before = ctx.obj if isinstance(ctx.obj, Before) else Before()
    path = store or before.store or Path(default_store())
    return Session(path, Output(json=json or before.json, quiet=quiet or before.quiet))


def pairs(given: list[str] | None, *, option: str) -> dict[str, str]:
    """`["a=1", "b=2"]` → `{"a": "1", "b": "2"}`; anything else is a usage error."""
    found: dict[str, str] = {}
    for entry in given or []:
        name, equals, value = entry.partition("=")
        if not equals or not name.strip():
            raise typer.BadParameter(f"'{entry}' is not NAME=VALUE.", param_hint=option)
        found[name.strip()] = value.strip()
    return found


def settings(given: list[str] | None, config: Path | None = None) -> dict[str, Any]:
    """Settings from a YAML file and, winning over it, from `--set`; `{model: {layers: 2}}` is `model.layers`."""
    found = _read_config(config) if config else {}
    for name, value in pairs(given, option="--set").items():
        found[name.replace("-", "_")] = value
    return found


def _read_config(path: Path) -> dict[str, Any]:
    import yaml

    from graphsocial.errors import InputError, MissingFileError

    if not path.is_file():
        raise MissingFileError(f"There is no file '{path}'.")
    try:
        read = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"'{path}' cannot be read as YAML: {error}") from error
    if not isinstance(read, Mapping):
        raise InputError(f"'{path}' must be a mapping of settings, such as: layers: 2")
    found: dict[str, Any] = {}
    for name, value in read.items():
        inner = (
            {f"{name}.{key}": entry for key, entry in value.items()} if isinstance(value, Mapping) else {name: value}
        )
        found |= {str(key).replace("-", "_"): entry for key, entry in inner.items()}
    return found
