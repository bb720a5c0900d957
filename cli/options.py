"""The options that commands share, the session that they open, and how settings are written."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

from graphsocial.errors import InputError
from graphsocial.specs import assignment

from .render import Output

if TYPE_CHECKING:
    from graphsocial.store import GraphStore

DEFAULT_STORE = "graphsocial.duckdb"

DatasetOption = Annotated[
    str | None,
    typer.Option(
        "--dataset",
        metavar="NAME",
        help="Name of the dataset; required if the store holds several.",
        show_default=False,
    ),
]
FeaturesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--features",
        metavar="COLUMN=ENCODER",
        help="Encoder of a column, such as image.file=vision:resnet50; several are joined by +, and none drops the "
        "column. group.description=sentence,to=user also gives users the mean of their groups' vectors. "
        "segment=tmsam:RUN reads the vectors of 'featurize segment --encoder tmsam:RUN'. Repeatable.",
        show_default="the encoder of the column's kind",
    ),
]
SplitOption = Annotated[
    str | None,
    typer.Option(
        metavar="POLICY",
        help="Split policy; see 'graphsocial list splits'.",
        show_default="random",
    ),
]
PartOption = Annotated[
    str,
    typer.Option("--split", metavar="PART", help="Part of the split: train, validation or test."),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Value of a setting; see 'graphsocial list'. Repeatable.",
        show_default=False,
    ),
]
ModelOption = Annotated[
    str | None,
    typer.Option(
        metavar="MODEL",
        help="Name of the model, or a Python file; see 'graphsocial list models'.",
        show_default="the task's model",
    ),
]
EpochsOption = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        help="Maximum number of epochs.",
        show_default="the model's own",
    ),
]
GroupsOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="SQL",
        help="SQL expression that groups the scores, such as user.gender. Repeatable.",
        show_default=False,
    ),
]
SamplesOption = Annotated[int, typer.Option(metavar="N", help="Number of bootstrap samples.")]

TaskArgument = Annotated[
    str, typer.Argument(metavar="TASK", help="Name of the task, or a Python file; see 'graphsocial list tasks'.")
]
RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="Id of the run, a unique prefix of it, or latest.")]
CodeOption = Annotated[
    bool,
    typer.Option(
        "--allow-code",
        metavar="",
        help="Run the Python files that the run names, each if its hash is the recorded one.",
    ),
]


@dataclass(frozen=True)
class Session:
    """One call: the store it works on and how it prints."""

    path: Path
    out: Output
    wait: bool = False

    def read(self, *, allow_code: bool = False, unlocked: bool = False) -> AbstractContextManager[GraphStore]:
        """The store, opened read-only; the file must exist. If another process writes it, its last committed state.

        Args:
            allow_code: see `graphsocial.open`.
            unlocked: SQL may read and write other files.
        """
        opened = self._open(read_only=True, locked=not unlocked, allow_code=allow_code)
        if opened.is_copy:
            self.out.say(f"Another process writes '{self.path}'; this is its last committed state.")
        return opened

    def write(self, *, allow_code: bool = False) -> AbstractContextManager[GraphStore]:
        """The store, opened for writing; the file must exist.

        Args:
            allow_code: see `graphsocial.open`.
        """
        return self._open(read_only=False, locked=True, allow_code=allow_code)

    def write_or_read(self, *, allow_code: bool = False) -> AbstractContextManager[GraphStore]:
        """The store, opened for writing if that is possible: not on read-only media, nor while another process writes.

        Args:
            allow_code: see `graphsocial.open`.
        """
        from graphsocial.store.opening import is_writable

        writable = not self.path.exists() or is_writable(self.path, wait=self.wait)
        return self.write(allow_code=allow_code) if writable else self.read(allow_code=allow_code)

    @contextmanager
    def create(self) -> Iterator[GraphStore]:
        """The store, created if there is none; a file that this command has made is removed if it fails."""
        from graphsocial.store import open

        with open(self.path, wait=self.wait) as store:
            try:
                yield store
            except BaseException:
                if store.made:
                    store.discard()
                raise

    def _open(self, **options: bool) -> GraphStore:
        from graphsocial.errors import StoreError
        from graphsocial.store import open

        if not self.path.exists():
            raise StoreError(
                f"There is no store '{self.path}'; ingest a dataset first (graphsocial ingest SOURCE PATH), "
                "or name another one with --store."
            )
        return open(self.path, wait=self.wait, **options)

    def command(self, *words: str) -> str:
        """A command line for the user to run next, on this store."""
        store = [] if str(self.path) == default_store() else ["--store", str(self.path)]
        quoted = [f'"{word}"' if " " in word and '"' not in word else shlex.quote(word) for word in words]
        return " ".join(["graphsocial", *(shlex.quote(word) for word in store), *quoted])


@dataclass(frozen=True)
class Targets:
    """What the general tasks `node` and `edge` predict."""

    panel: ClassVar[str] = "Task"

    target: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TYPE.COLUMN",
            help="Column to predict, for the tasks node and edge: user.gender, 'user rates user.trust'. Repeatable.",
            show_default=False,
        ),
    ] = None

    def settings(self) -> dict[str, Any]:
        """The setting `target` of the task, where it is given."""
        return {"target": tuple(self.target)} if self.target else {}


@dataclass(frozen=True)
class DataOptions:
    """What a model is trained on."""

    panel: ClassVar[str] = "Data"

    dataset: DatasetOption = None
    split: SplitOption = None
    features: FeaturesOption = None


@dataclass(frozen=True)
class ModelOptions:
    """What is trained, and for how long."""

    panel: ClassVar[str] = "Training"

    model: ModelOption = None
    epochs: EpochsOption = None
    set_: SetOption = None


@dataclass(frozen=True)
class CommonOptions:
    """The options of every command, which may stand before the command's name too."""

    panel: ClassVar[str] = "Output"

    store: Annotated[
        Path | None,
        typer.Option(
            "--store",
            metavar="FILE",
            help="Store file.",
            show_default=f"$GRAPHSOCIAL_STORE, else {DEFAULT_STORE}",
        ),
    ] = None
    json: Annotated[bool, typer.Option("--json", metavar="", help="Print results as JSON.")] = False
    quiet: Annotated[
        bool,
        typer.Option("--quiet", "-q", metavar="", help="No messages and no progress bars on stderr."),
    ] = False

    wait: Annotated[
        bool,
        typer.Option("--wait", metavar="", help="Wait for another process that writes the store."),
    ] = False

    def session(self, before: CommonOptions | None) -> Session:
        """The session of these options, or where they are not given, of those before the command's name."""
        before = before or CommonOptions()
        path = self.store or before.store or Path(default_store())
        output = Output(json=self.json or before.json, quiet=self.quiet or before.quiet)
        return Session(path, output, wait=self.wait or before.wait)


@contextmanager
def resumable() -> Iterator[None]:
    """On Ctrl-C, print that the same command resumes the work."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt("the same command resumes where this one stopped") from None


def default_store() -> str:
    """The store file of a command without `--store`."""
    return os.environ.get("GRAPHSOCIAL_STORE") or DEFAULT_STORE


def pairs(given: list[str] | None, *, option: str) -> dict[str, str]:
    """`["a=1", "b=2"]` → `{"a": "1", "b": "2"}`; anything else is a usage error."""
    values: dict[str, str] = {}
    for entry in given or []:
        try:
            name, value = assignment(entry)
        except InputError as error:
            raise typer.BadParameter(str(error), param_hint=option) from None
        values[name] = value
    return values


def settings(given: list[str] | None, config: Path | None = None) -> dict[str, Any]:
    """Settings from a YAML file and from `--set`, which wins; `{model: {layers: 2}}` is `model.layers`."""
    values = _read_config(config) if config else {}
    for name, value in pairs(given, option="--set").items():
        values[name.replace("-", "_")] = value
    return values


def _read_config(path: Path) -> dict[str, Any]:
    import yaml

    from graphsocial.errors import MissingFileError

    if not path.is_file():
        raise MissingFileError(f"There is no file '{path}'.")
    try:
        read = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"'{path}' cannot be read as YAML: {error}") from error
    if not isinstance(read, Mapping):
        raise InputError(f"'{path}' must be a mapping of settings, such as: layers: 2")
    values: dict[str, Any] = {}
    for name, value in read.items():
        inner = (
            {f"{name}.{key}": entry for key, entry in value.items()} if isinstance(value, Mapping) else {name: value}
        )
        values |= {str(key).replace("-", "_"): entry for key, entry in inner.items()}
    return values
