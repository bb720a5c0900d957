"""What `graphsocial list` shows: registered names, their summaries and their settings."""

from __future__ import annotations

import inspect
import re
from dataclasses import MISSING, Field
from typing import Any

from graphsocial.errors import GraphSocialError, UnknownNameError
from graphsocial.plugins import names, resolve, settings

from .render import Output, line

PLUGINS = {
    "sources": "source",
    "featurizers": "featurizer",
    "tasks": "task",
    "models": "model",
    "analyses": "analysis",
    "papers": "paper",
}
KINDS = (*PLUGINS, "splits", "training")


def catalog(kind: str, name: str | None = None) -> list[dict[str, Any]]:
    """Name, summary and settings of all entries of a kind, or of one; `kind` may be singular or plural."""
    plurals = {singular: plural for plural, singular in PLUGINS.items()}
    plural = kind if kind in KINDS else plurals.get(kind, f"{kind}s")
    if plural in PLUGINS:
        singular = PLUGINS[plural]
        listed = names(singular) if name is None else [name]
        return [_entry(singular, each, strict=name is not None) for each in listed]
    if plural == "splits":
        from graphsocial.evaluation.splits import EXAMPLES, POLICIES, SplitPolicy

        entries = [_described("split", SplitPolicy) | {"policies": [*POLICIES, *EXAMPLES]}]
        name = None if name in POLICIES else name
    elif plural == "training":
        from graphsocial.graph.visibility import Visibility
        from graphsocial.training.settings import TrainingConfig

        entries = [_described("fitting", TrainingConfig), _described("visibility", Visibility)]
    else:
        raise UnknownNameError.of("kind", kind, KINDS)
    if name is not None:
        entries = [entry for entry in entries if entry["name"] == name]
        if not entries:
            raise UnknownNameError.of(plural, name, POLICIES if plural == "splits" else ("fitting", "visibility"))
    return entries


def _entry(kind: str, name: str, *, strict: bool) -> dict[str, Any]:
    try:
        if kind == "paper":
            return _paper(name)
        cls = resolve(kind, name)
    except GraphSocialError as error:
        if strict:
            raise
        return {"name": name, "summary": f"cannot be used: {error}", "doc": "", "settings": []}
    return _described(name, cls)


def _paper(name: str) -> dict[str, Any]:
    from graphsocial.reproduction import paper_of

    paper = paper_of(name)
    tables = [f"{table.number} ({table.title}, {len(table.rows)} rows)" for table in paper.tables]
    return {"name": name, "summary": paper.title, "doc": paper.title, "tables": tables, "settings": []}


def _described(name: str, cls: type[Any]) -> dict[str, Any]:
    doc = inspect.getdoc(cls) or ""
    documented: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        documented |= attributes(inspect.cleandoc(base.__doc__ or ""))
    text = doc.split("\n\nAttributes:")[0]
    entry = {
        "name": name,
        "summary": " ".join(text.split("\n\n")[0].split()),
        "doc": text,
        "settings": [
            {"name": f.name, "type": _type(f), "default": _default(f), "doc": documented.get(f.name, "")}
            for f in settings(cls)
        ],
    }
    for word in ("default_model", "baselines", "modalities"):
        if isinstance(getattr(cls, word, None), str | tuple):
            entry[word] = getattr(cls, word)
    return entry | (_encoder(cls) if hasattr(cls, "requires") else {})


def _encoder(cls: type[Any]) -> dict[str, Any]:
    """A featurizer's output with default settings, and the packages or weights it lacks; nothing is downloaded."""
    missing = list(cls.requires.missing())
    entry: dict[str, Any] = {"dimension": None, "sequences": None, "missing": missing, "install": cls.requires.command}
    if hasattr(cls, "fit"):
        return entry
    try:
        default = cls()
        entry |= {"sequences": default.sequences, "dimension": default.dimension}
        if not missing:
            default.fingerprint()  # needs the weights
    except GraphSocialError as error:  # names the missing weights, and how to get them
        return entry if missing else entry | {"missing": [str(error)], "install": ""}
    return entry


def attributes(doc: str) -> dict[str, str]:
    """The `Attributes:` of a docstring in Google style; `a, b: …` describes both.

    >>> attributes("What it is.\\n\\nAttributes:\\n    a, b: two\\n        lines.\\n    c: one.")
    {'a': 'two lines.', 'b': 'two lines.', 'c': 'one.'}
    """
    documented: dict[str, str] = {}
    _, _, part = doc.partition("Attributes:\n")
    current: list[str] = []
    for row in part.splitlines():
        if row and not row.startswith(" "):
            break
        named = re.match(r"    (\w+(?:, \w+)*): (.*)", row)
        if named:
            current = named[1].split(", ")
            documented |= dict.fromkeys(current, named[2])
        elif row.strip():
            documented |= {name: f"{documented[name]} {row.strip()}" for name in current}
    return documented


def _type(entry: Field[Any]) -> str:
    written = entry.type if isinstance(entry.type, str) else getattr(entry.type, "__name__", str(entry.type))
    return re.sub(r"Literal\[(.*?)\]", lambda m: m[1].replace('"', "").replace("'", "").replace(", ", " | "), written)


def _default(entry: Field[Any]) -> Any:
    if entry.default_factory is not MISSING:
        return entry.default_factory()
    return "required" if entry.default is MISSING else entry.default


def show_all(out: Output, entries: list[dict[str, Any]]) -> None:
    """Name, summary and defaults of each; before them, for featurizers, a table."""
    if any("missing" in entry for entry in entries):
        out.table(
            ["name", "encodes", "dimension", "ready"],
            [
                (entry["name"], ", ".join(entry["modalities"]), _dimension(entry), "no" if entry["missing"] else "yes")
                for entry in entries
                if "missing" in entry
            ],
        )
        line("")
    for entry in entries:
        line(f"{entry['name']}: {entry['summary']}")
        if entry["settings"]:
            line("    " + " ".join(f"{s['name']}={_written(s['default'])}" for s in entry["settings"]))
        if entry.get("missing"):
            line("    not ready: " + ": ".join(filter(None, [", ".join(entry["missing"]), entry["install"]])))


def _dimension(entry: dict[str, Any]) -> str:
    if entry["dimension"] is None:
        return "" if entry["missing"] else "fitted"
    return f"T x {entry['dimension']}" if entry["sequences"] else str(entry["dimension"])


def show_one(entry: dict[str, Any]) -> None:
    """The whole description of one entry, with all its settings."""
    line(f"{entry['name']}: {entry['doc']}\n")
    for word in ("policies", "default_model", "baselines", "modalities", "missing", "install", "tables"):
        if entry.get(word):
            value = entry[word]
            line(f"{word.replace('_', ' ')}: {value if isinstance(value, str) else ', '.join(value)}\n")
    if entry["settings"]:
        line("Settings, given as --set name=value:")
    for setting in entry["settings"]:
        line(f"  {setting['name']}={_written(setting['default'])}  ({setting['type']})")
        if setting["doc"]:
            line(f"      {setting['doc']}")


def _written(value: Any) -> str:
    """A default as `--set` takes it."""
    if isinstance(value, tuple | list):
        return ",".join(map(str, value))
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)
