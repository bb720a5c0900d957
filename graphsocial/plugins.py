"""Plugins by name: sources, featurizers, tasks, models, analyses and papers, and their settings."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import pkgutil
import sys
import traceback
import types
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, Field, fields, is_dataclass
from hashlib import blake2b
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from graphsocial.annotations import cast
from graphsocial.errors import GraphSocialError, InputError, MissingFileError, UnknownNameError

T = TypeVar("T")
PACKAGES = {
    "source": "graphsocial.sources",
    "featurizer": "graphsocial.featurizers",
    "task": "graphsocial.tasks",
    "model": "graphsocial.models",
    "analysis": "graphsocial.analysis",
    "paper": "graphsocial.reproduction",
}
"""Kind of plugin → its package, which is also the entry point group for plugins of other packages."""
NEEDED = {
    "source": ("plan",),
    "featurizer": ("modalities", "requires", "fingerprint"),
    "analysis": ("analyze",),
}
"""Kind of plugin → required attributes of its classes."""
MANY = 40  # number of settings up to which an error lists all, since no command lists those of every class
_FILE_PREFIX = "_graphsocial_"  # prefix of the names of modules that are loaded from a file


def names(kind: str) -> list[str]:
    """All registered names of a kind, sorted, without importing the modules.

    Args:
        kind: `source`, `featurizer`, `task`, `model`, `analysis` or `paper`.
    """
    return sorted({_display_name(kind, name) for name in (*_modules(kind), *_entry_points(kind))})


def resolve(kind: str, name: str) -> type[Any]:
    """The class behind a name: a module of graphsocial, an entry point, or a file such as `./my_task.py`.

    `edge-emotion` and `edge_emotion` are the same name; the class is called `EdgeEmotion`.

    Raises:
        UnknownNameError: no module or entry point has this name.
        MissingFileError: the name is a path, and there is no such file.
        InputError: the file or plugin cannot be imported, lacks the class of that name, or the class is
            not a dataclass or lacks an attribute that its kind requires.
    """
    module_or_class, spelling, where = _find(kind, name)
    cls = module_or_class if inspect.isclass(module_or_class) else _class(module_or_class, spelling, where)
    _check_class(kind, cls, where)
    return cls


def constant(kind: str, name: str, called: str) -> Any:
    """A value of the module behind a name, such as the `PAPER` of a paper.

    Args:
        kind: kind of plugin, such as `paper`.
        name: registered name or file.
        called: name of the value in the module.

    Raises:
        UnknownNameError, MissingFileError, InputError: as `resolve`.
    """
    module, _, where = _find(kind, name)
    if not hasattr(module, called):
        raise InputError(f"'{where}' has no {called}, which every {kind} has.")
    return getattr(module, called)


@contextmanager
def authored(cls: type[Any], doing: str) -> Iterator[None]:
    """Turn exceptions of a plugin's code into an error that names its class, file and line.

    A `GraphSocialError` is raised unchanged, and so are exceptions of classes of graphsocial.

    Args:
        cls: the plugin's class.
        doing: the method that runs, such as `labels()`.

    Raises:
        InputError: the code raised another exception.
    """
    try:
        yield
    except GraphSocialError:
        raise
    except (Exception, SystemExit) as error:
        if cls.__module__.startswith("graphsocial."):
            raise
        raise InputError(f"{_line(cls, error)}{cls.__name__}.{doing} raised {error!r}.") from error


def _line(cls: type[Any], error: BaseException) -> str:
    """`custom_task.py, line 12: `, the innermost line of the class's file in the traceback; empty if it has none."""
    file = getattr(sys.modules.get(cls.__module__), "__file__", None)
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return f"{Path(file).name}, line {lines[-1]}: " if file and lines else ""


def plain(name: str) -> str:
    """A name as an identifier: `./my_task.py` and `my-task` become `my_task`."""
    return Path(name).stem if name.endswith(".py") else name.replace("-", "_")


def registered_name(cls: type[Any]) -> str:
    """The name by which runs record a plugin's class: `iesn`, or the file name `reddit.py` if it was given by path."""
    module = cls.__module__
    if module.startswith(_FILE_PREFIX):
        return Path(inspect.getfile(cls)).name
    return module.rpartition(".")[2]


def code_hash(cls: type[Any], *beside: str) -> str | None:
    """The hash of the file that a class is written in; None for classes of graphsocial, or where there is no file.

    Args:
        cls: a plugin's class.
        beside: names of further files in the same folder that it reads, such as `loudness.sql`.
    """
    if cls.__module__.startswith("graphsocial."):
        return None
    try:
        file = Path(inspect.getfile(cls))
        content = [part.read_bytes() for part in (file, *(file.parent / name for name in beside))]
    except (OSError, TypeError):  # typed into an interpreter
        return None
    return blake2b(b"\0".join(content), digest_size=8).hexdigest()


def file_hashes(path: Path) -> set[str]:
    """The values that `code_hash` may have for the classes of a file, which is read and not run.

    Args:
        path: a Python file; its classes may read one `.sql` file of its folder.
    """
    content = path.read_bytes()
    together = [content, *(b"\0".join((content, sql.read_bytes())) for sql in path.parent.glob("*.sql"))]
    return {blake2b(part, digest_size=8).hexdigest() for part in together}


def is_loaded(kind: str, path: Path) -> bool:
    """Whether this process has run a file, as it is now, because a user gave its path."""
    return path.is_file() and _module_name(kind, path.resolve()) in sys.modules


def _find(kind: str, name: str) -> tuple[Any, str, str]:
    """The module (or an entry point's object) of a name, the name as an identifier, and its origin for errors."""
    if name.endswith(".py"):
        return _load_file(kind, Path(name).expanduser()), plain(name), name
    inside = plain(name)
    if inside in _modules(kind):
        return importlib.import_module(f"{PACKAGES[kind]}.{inside}"), inside, f"{inside}.py"
    point = _entry_points(kind).get(inside)
    if point is None:
        raise UnknownNameError.of(kind, name, names(kind), listing=f"graphsocial list {_plural(kind)}")
    try:
        return point.load(), inside, point.value
    except (Exception, SystemExit) as error:  # other people's code may raise anything
        raise InputError(f"The plugin '{name}' ({point.value}) cannot be imported: {error!r}.") from error


def settings(cls: type[Any]) -> tuple[Field[Any], ...]:
    """The init fields of a dataclass, in order; empty for a class that is not a dataclass."""
    return tuple(entry for entry in fields(cls) if entry.init) if is_dataclass(cls) else ()


def configure(cls: type[T], values: Mapping[str, object]) -> T:
    """Build a dataclass from settings of the command line (`--set name=value`) or of a YAML file.

    Values are cast to the types of the fields' annotations; see `annotations.cast`.

    Raises:
        InputError: an unknown or missing setting, or a value that does not fit the annotation.
    """
    known = {entry.name: entry for entry in settings(cls)}
    hints = get_type_hints(cls) if known else {}
    ready: dict[str, Any] = {}
    for given, value in values.items():
        name = given.replace("-", "_")
        if name not in known:
            raise InputError(str(UnknownNameError.of(f"setting of {cls.__name__}", given, known, short=MANY)))
        try:
            ready[name] = cast(value, hints[name])
        except ValueError as error:
            raise InputError(f"{cls.__name__} cannot take {name}={value!r}: {error}.") from None
    missing = [
        entry.name
        for entry in known.values()
        if entry.name not in ready and entry.default is MISSING and entry.default_factory is MISSING
    ]
    if missing:
        raise InputError(f"{cls.__name__} needs the setting '{missing[0]}'. Give it with --set {missing[0]}=VALUE.")
    return cls(**ready)


def _plural(kind: str) -> str:
    return "analyses" if kind == "analysis" else f"{kind}s"


def _package(kind: str) -> str:
    if kind not in PACKAGES:
        raise UnknownNameError.of("kind of plugin", kind, PACKAGES)
    return PACKAGES[kind]


def _display_name(kind: str, name: str) -> str:
    return name.replace("_", "-") if kind == "task" else name


def _modules(kind: str) -> list[str]:
    spec = importlib.util.find_spec(_package(kind))
    folders = spec.submodule_search_locations if spec else None
    modules = pkgutil.iter_modules(folders) if folders else ()
    return [module.name for module in modules if module.name != "base" and not module.name.startswith("_")]


def _entry_points(kind: str) -> dict[str, EntryPoint]:
    return {point.name.replace("-", "_"): point for point in entry_points(group=_package(kind))}


def _load_file(kind: str, path: Path) -> types.ModuleType:
    _package(kind)
    if not path.is_file():
        raise MissingFileError(f"There is no file '{path}' to take a {kind} from.")
    path = path.resolve()
    name = _module_name(kind, path)
    if name in sys.modules:  # an unchanged file gives the same class; an edited file is loaded again
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InputError(f"'{path}' cannot be imported as Python.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up here
    try:
        spec.loader.exec_module(module)
    except GraphSocialError as error:  # whose message is complete without a line number
        del sys.modules[name]
        raise InputError(f"'{path}' cannot be imported: {error}") from error
    except (Exception, SystemExit) as error:  # other people's code may raise anything
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        lines += [error.lineno] if isinstance(error, SyntaxError) and error.lineno else []
        where = f" (line {lines[-1]})" if lines else ""
        del sys.modules[name]
        raise InputError(f"'{path}' cannot be imported: {error!r}{where}.") from error
    return module


def _module_name(kind: str, path: Path) -> str:
    """The name of the module of a file as it is now; an edited file is another module."""
    mark = blake2b(f"{path}|".encode() + path.read_bytes(), digest_size=8).hexdigest()
    return f"{_FILE_PREFIX}{kind}_{path.stem}_{mark}"


def _class(module: types.ModuleType, name: str, where: str) -> type[Any]:
    wanted = "".join(part.capitalize() for part in name.replace("-", "_").split("_"))
    cls = getattr(module, wanted, None)
    if inspect.isclass(cls) and cls.__module__ == module.__name__:
        return cls
    defined = [
        key
        for key, value in vars(module).items()
        if inspect.isclass(value) and value.__module__ == module.__name__ and not key.startswith("_")
    ]
    raise InputError(
        f"'{where}' has no class '{wanted}', which its name requires; it has: {', '.join(defined) or 'none'}."
    )


def _check_class(kind: str, cls: type[Any], where: str) -> None:
    """Raise `InputError` unless it is a dataclass with the attributes that its kind requires.

    Tasks and models are checked by their base classes.
    """
    if "__dataclass_fields__" not in vars(cls):
        raise InputError(f"{cls.__name__} in '{where}' is not a dataclass; write @dataclass(frozen=True) above it.")
    if not cls.__dataclass_params__.frozen:
        raise InputError(f"{cls.__name__} in '{where}' can be changed; write @dataclass(frozen=True) above it.")
    needed = NEEDED.get(kind, ())
    if kind == "featurizer" and not hasattr(cls, "fit"):
        needed = (*needed, "encode", "dimension", "sequences", "batch_size")
    missing = [name for name in needed if not hasattr(cls, name) and name not in cls.__dataclass_fields__]
    if missing:
        raise InputError(f"{cls.__name__} in '{where}' has no {' and no '.join(missing)}, which every {kind} has.")
