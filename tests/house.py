"""The rules that `test_house.py` holds the package to: functions of source text, so that each can be seen to fail."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import graphsocial

ROOT = Path(__file__).resolve().parents[1]
# The order in which data flows: a folder imports from folders left of it, and never from one beside it (a comma).
LAYERS = """
    errors | _compat | schemas | types | specs, annotations | plugins | store | synthesis | sources | ingestion
    | featurizers | features | tasks | evaluation | graph | nn | models | runs | training | prediction, tuning
    | explanation, analysis, comparison, auditing, reproduction | reporting | diagnostics | cli
"""
RANK = {name.strip(): rank for rank, layer in enumerate(LAYERS.split("|")) for name in layer.split(",")}
COMPUTED = ("plugins", "extending", "nn.kernels", "reporting.page")
"""Modules that import others by computed names: what is named when it is first used, and what a user names."""


@cache
def modules() -> dict[str, Path]:
    """Every module by its name below `graphsocial`: `graph`, `graph.loaders`, `cli.main`, …"""
    paths = {}
    for folder, prefix in (("graphsocial", ""), ("cli", "cli."), ("schemas", "schemas.")):
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = prefix + ".".join(path.relative_to(ROOT / folder).with_suffix("").parts)
            paths[name.removesuffix("__init__").removesuffix(".")] = path
    paths.pop("")
    return paths


@dataclass(frozen=True)
class Loaded:
    """A name that a file imports, such as `graphsocial.runs`; of `from torch import nn` it is `torch.nn`."""

    name: str
    line: int
    relative: bool = False
    type_checking: bool = False


def loads(source: str, package: str = "graphsocial") -> list[Loaded]:
    """All imports of a file of that package, of literal names by `import_module` too; `*` is a computed name."""
    tree = ast.parse(source)
    checking = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for part in node.body
        for inner in ast.walk(part)
    }
    loaded = []
    for node in ast.walk(tree):
        names, relative = [], False
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            relative = node.level > 0
            base = package.split(".")[: len(package.split(".")) - node.level + 1] if relative else []
            names = [".".join([*base, *filter(None, [node.module]), alias.name]) for alias in node.names]
        elif isinstance(node, ast.Call) and re.search(r"\b(import_module|__import__)$", ast.unparse(node.func)):
            name = node.args[0] if node.args else None
            names = [name.value if isinstance(name, ast.Constant) else "*"]
        loaded += [Loaded(str(name), node.lineno, relative, node in checking) for name in names]
    return loaded


def package_of(name: str) -> str:
    """The package that a module's relative imports start from."""
    is_package = modules()[name].name == "__init__.py"
    return ".".join(["graphsocial", *name.split(".")[: None if is_package else -1]])


def inner(name: str) -> str | None:
    """The module below `graphsocial` of an imported name, `""` for the package; None for others' modules.

    A public name of the package, such as `graphsocial.train`, is in the module that has it.
    """
    if name.split(".")[0] != "graphsocial":
        return None
    path = name.removeprefix("graphsocial").removeprefix(".")
    path = path if path in modules() else graphsocial._HOME.get(path, path)
    while path and path not in modules() and path not in RANK:
        path = path.rpartition(".")[0]
    return path


def misplaced(name: str, source: str) -> list[str]:
    """What a module must not import of this package; the module is named below `graphsocial`."""
    here, faults = name.split(".")[0], []
    for loaded in loads(source, package_of(name)):
        module = inner(loaded.name)
        if loaded.relative and here != "cli":
            faults.append(f"{name}:{loaded.line} imports by a relative path; write 'from graphsocial…'")
        elif loaded.name == "*" and name not in COMPUTED:
            faults.append(f"{name}:{loaded.line} imports a computed name, which no test can follow")
        elif module == "":
            faults.append(f"{name}:{loaded.line} imports the package; import from the module that has the name")
        elif module is not None and module.split(".")[0] not in RANK:
            faults.append(f"{name}:{loaded.line} imports '{module}', which is for code outside the package")
        elif module is not None and not left_of(name, module):
            faults.append(f"{name}:{loaded.line} imports '{module}', which is not left of it")
    return faults


def left_of(name: str, imported: str) -> bool:
    """Whether `imported` is in the same folder as `name`, or in one left of it."""
    here, there = name.split(".")[0], imported.split(".")[0]
    return here == there or RANK[there] < RANK[here]


def circle(imported: Mapping[str, set[str]]) -> str:
    """Modules that import one another, in their order; empty where there are none."""
    try:
        TopologicalSorter(imported).prepare()
    except CycleError as error:
        return " imports ".join(error.args[1])
    return ""


def imported_modules(name: str, source: str) -> set[str]:
    return {module for loaded in loads(source, package_of(name)) if (module := inner(loaded.name))} - {name}


def stray_dgl(name: str, source: str) -> list[str]:
    """Where DGL is imported past its door; the graph and the kernels name its types for type checkers."""
    return [
        f"{name}:{loaded.line} imports dgl"
        for loaded in loads(source, package_of(name))
        if loaded.name.split(".")[0] == "dgl" and name != "_compat.dgl"
        if not (loaded.type_checking and name.split(".")[0] in ("graph", "nn"))
    ]


PICKLES = {"pickle", "_pickle", "cPickle", "joblib", "dill", "cloudpickle", "shelve", "marshal"}
LOADERS = ("torch.load", "numpy.load")


def unpickled(source: str) -> list[str]:
    """Where a file may run the code of a pickle."""
    tree = ast.parse(source)
    faults = [f"{part.line}: {part.name}" for part in loads(source) if part.name.split(".")[0] in PICKLES]
    calls = {node.func: node for node in ast.walk(tree) if isinstance(node, ast.Call)}
    full = dict[str, str]()  # what local names stand for
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            full |= {alias.asname: alias.name for alias in node.names if alias.asname}
        elif isinstance(node, ast.ImportFrom):
            full |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.Name):
            first, _, rest = ast.unparse(node).partition(".")
            name = ".".join(filter(None, [full.get(first, first), rest]))
            if name.endswith(".read_pickle") or (name in LOADERS and not loads_no_pickle(name, calls.get(node))):
                faults.append(f"{node.lineno}: {name}")
    return faults


def loads_no_pickle(name: str, call: ast.Call | None) -> bool:
    """Whether a call says that it refuses pickles; numpy does unless told otherwise. Without a call nobody can say."""
    if call is None:
        return False
    options = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
    if name == "torch.load":
        return options.get("weights_only") == "True"
    return options.get("allow_pickle", "False") == "False" and None not in options and len(call.args) < 3


def undocumented(source: str) -> list[str]:
    """Public functions and methods of three or more parameters without `Args:`; of `__init__` the class's docstring."""
    lacking = []
    for top in ast.parse(source).body:
        members = top.body if isinstance(top, ast.ClassDef) and not top.name.startswith("_") else [top]
        for node in members:
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            documented = top if node.name == "__init__" and isinstance(top, ast.ClassDef) else node
            parameters = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            several = len([entry for entry in parameters if entry.arg not in ("self", "cls")]) >= 3
            public = node.name == "__init__" or not node.name.startswith("_")
            if public and several and "Args:" not in (ast.get_docstring(documented) or ""):
                lacking.append(f"{node.lineno} {node.name}")
    return lacking
