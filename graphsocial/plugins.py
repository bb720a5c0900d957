"""Sources, models, papers and more by name: the file's name is the name, its fields are the settings."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import math
import pkgutil
import sys
import traceback
import types
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import MISSING, Field, fields, is_dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

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
"""Kind → package, which is also the name of the entry point group for other people's packages."""
NEEDED = {
    "source": ("plan",),
    "featurizer": ("modalities", "requires", "fingerprint"),
    "analysis": ("analyze",),
}
"""Kind → the attributes without which it cannot be used."""
MANY = 40  # settings, up to which an error lists all: no command lists those of every class
_FILE_PREFIX = "_graphsocial_"  # of the modules that are loaded from a file
_WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def names(kind: str) -> list[str]:
    """All registered names of a kind, sorted; imports none of them.

    Args:
        kind: `source`, `featurizer`, `task`, `model`, `analysis` or `paper`.
    """
    return sorted({_outside(kind, name) for name in (*_modules(kind), *_entry_points(kind))})


def resolve(kind: str, name: str) -> type[Any]:
    """The class behind a name: a module of graphsocial, an entry point, or a file such as `./my_task.py`.

    `edge-emotion` and `edge_emotion` are one name; the class is called `EdgeEmotion`.

    Raises:
        UnknownNameError: no module or entry point has this name.
        MissingFileError: the name is a path, and there is no such file.
        InputError: the file or plugin cannot be imported, has no class of the name's spelling, or the class is no
            dataclass or lacks what its kind has.
    """
    module_or_class, spelling, where = _find(kind, name)
    cls = module_or_class if inspect.isclass(module_or_class) else _class(module_or_class, spelling, where)
    _check_class(kind, cls, where)
    return cls


def constant(kind: str, name: str, called: str) -> Any:
    """A value of the module behind a name, such as the `PAPER` of a paper.

    Args:
        kind, name: as of `resolve`.
        called: the value's name in the module.

    Raises:
        UnknownNameError, MissingFileError, InputError: as `resolve`.
    """
    module, _, where = _find(kind, name)
    if not hasattr(module, called):
        raise InputError(f"'{where}' has no {called}, which every {kind} has.")
    return getattr(module, called)


@contextmanager
def authored(cls: type[Any], doing: str) -> Iterator[None]:
    """Turn what other people's code raises into an error that names their class, its file and the line.

    A `GraphSocialError` passes as it is, and so does what graphsocial's own classes raise.

    Args:
        cls: whose code runs.
        doing: what of it, such as `labels()`.

    Raises:
        InputError: the code raised something else.
    """
    try:
        yield
    except GraphSocialError:
        raise
    except Exception as error:
        if cls.__module__.startswith("graphsocial."):
            raise
        raise InputError(f"{_line(cls, error)}{cls.__name__}.{doing} raised {error!r}.") from error


def _line(cls: type[Any], error: Exception) -> str:
    """`custom_task.py, line 12: `, the last line of the class's own file that an error passed."""
    file = getattr(sys.modules.get(cls.__module__), "__file__", None)
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return f"{Path(file).name}, line {lines[-1]}: " if file and lines else ""


def plain(name: str) -> str:
    """A name as Python and the store write it: `./my_task.py` and `my-task` are `my_task`."""
    return Path(name).stem if name.endswith(".py") else name.replace("-", "_")


def registered_name(cls: type[Any]) -> str:
    """The name to record for a plugin's class: `iesn`, or the file's name, `reddit.py`, for one given by its path."""
    module = cls.__module__
    if module.startswith(_FILE_PREFIX):
        return Path(inspect.getfile(cls)).name
    return module.rpartition(".")[2]


def _find(kind: str, name: str) -> tuple[Any, str, str]:
    """The module (or what an entry point gives) behind a name, the name as Python writes it, and where it is."""
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
    except Exception as error:  # other people's code may raise anything
        raise InputError(f"The plugin '{name}' ({point.value}) cannot be imported: {error!r}.") from error


def settings(cls: type[Any]) -> tuple[Field[Any], ...]:
    """The fields of a dataclass that can be set, in order; nothing for a class that is not a dataclass."""
    return tuple(entry for entry in fields(cls) if entry.init) if is_dataclass(cls) else ()


def configure(cls: type[T], values: Mapping[str, object]) -> T:
    """Build a dataclass from settings as the command line (`--set name=value`) or a YAML file gives them.

    Strings become what the annotation says: int, float, bool (`true/false/yes/no/1/0`), str, Path, `Literal[...]`,
    `X | None` (`none`), `tuple[X, ...]` (separated by commas). Other values are checked against it.

    Raises:
        InputError: an unknown or missing setting, or a value that is not what the annotation allows.
    """
    known = {entry.name: entry for entry in settings(cls)}
    hints = get_type_hints(cls) if known else {}
    ready: dict[str, Any] = {}
    for given, value in values.items():
        name = given.replace("-", "_")
        if name not in known:
            raise InputError(str(UnknownNameError.of(f"setting of {cls.__name__}", given, known, short=MANY)))
        try:
            ready[name] = _cast(value, hints[name])
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


def _outside(kind: str, name: str) -> str:
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
    state = path.stat()
    mark = hashlib.blake2b(f"{path}|{state.st_mtime_ns}|{state.st_size}".encode(), digest_size=8).hexdigest()
    name = f"{_FILE_PREFIX}{kind}_{path.stem}_{mark}"
    if name in sys.modules:  # the same file again gives the same class; an edited one is loaded anew
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InputError(f"'{path}' cannot be imported as Python.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up here
    try:
        spec.loader.exec_module(module)
    except GraphSocialError as error:  # which says what is wrong in a sentence
        del sys.modules[name]
        raise InputError(f"'{path}' cannot be imported: {error}") from error
    except Exception as error:  # other people's code may raise anything
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        lines += [error.lineno] if isinstance(error, SyntaxError) and error.lineno else []
        where = f" (line {lines[-1]})" if lines else ""
        del sys.modules[name]
        raise InputError(f"'{path}' cannot be imported: {error!r}{where}.") from error
    return module


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
        f"'{where}' has no class '{wanted}', as its name asks for; it has: {', '.join(defined) or 'none'}."
    )


def _check_class(kind: str, cls: type[Any], where: str) -> None:
    """Raise `InputError` unless it is a dataclass with what its kind needs; tasks and models have base classes."""
    if "__dataclass_fields__" not in vars(cls):
        raise InputError(f"{cls.__name__} in '{where}' is no dataclass; write @dataclass(frozen=True) above it.")
    needed = NEEDED.get(kind, ())
    if kind == "featurizer" and not hasattr(cls, "fit"):
        needed = (*needed, "encode", "dimension", "sequences", "batch_size")
    missing = [name for name in needed if not hasattr(cls, name) and name not in cls.__dataclass_fields__]
    if missing:
        raise InputError(f"{cls.__name__} in '{where}' has no {' and no '.join(missing)}, which every {kind} has.")


def _cast(value: object, hint: Any) -> Any:
    """`value` as the annotation `hint`, or a ValueError that says what is allowed."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return _cast_union(value, inner)
    if origin is Literal:
        for choice in inner:
            if value == choice or (isinstance(value, str) and value == str(choice)):
                return choice
        raise ValueError(f"choose from {', '.join(str(choice) for choice in inner)}")
    if hint is tuple or origin is tuple:
        return _cast_tuple(value, inner)
    if hint is Any or hint is object:
        return value
    if hint is bool:
        word = value.strip().lower() if isinstance(value, str) else value
        if isinstance(word, bool) or word in _WORDS:
            return word if isinstance(word, bool) else _WORDS[str(word)]
        raise ValueError("say true or false")
    if hint in (int, float):
        return _cast_number(value, hint)
    if hint in (str, Path) and isinstance(value, str | Path):
        return hint(value)
    if inspect.isclass(hint) and isinstance(value, hint):
        return value
    raise ValueError(f"it must be {_name(hint)}")


def _cast_union(value: object, inner: Sequence[Any]) -> Any:
    if type(None) in inner and (value is None or (isinstance(value, str) and value.lower() in ("none", "null", ""))):
        return None
    reasons = []
    for hint in inner:
        if hint is not type(None):
            try:
                return _cast(value, hint)
            except ValueError as error:
                reasons.append(str(error))
    raise ValueError(" or ".join([*reasons, *(["none"] if type(None) in inner else [])]))


def _cast_tuple(value: object, inner: Sequence[Any]) -> tuple[Any, ...]:
    if isinstance(value, str):
        value = [part.strip() for part in value.strip().removesuffix(",").split(",")] if value.strip() else []
    if not isinstance(value, Sequence):
        value = [value]
    if not inner or (len(inner) == 2 and inner[1] is Ellipsis):
        return tuple(_cast(part, inner[0] if inner else str) for part in value)
    if len(value) != len(inner):
        raise ValueError(f"it must be {len(inner)} values with commas between them")
    return tuple(_cast(part, hint) for part, hint in zip(value, inner, strict=True))


def _cast_number(value: object, hint: type[int] | type[float]) -> int | float:
    kind = "a whole number" if hint is int else "a number"
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"it must be {kind}")
    try:
        number = hint(value)
    except (ValueError, OverflowError):
        raise ValueError(f"it must be {kind}") from None
    if not math.isfinite(number) or (not isinstance(value, str) and number != value):
        raise ValueError(f"it must be {kind}")
    return number


def _name(hint: Any) -> str:
    if hint in (str, Path):
        return "text" if hint is str else "a path"
    return str(getattr(hint, "__name__", hint))
