"""The house keeps its order: layers, doors to DGL, packaging, light imports, no pickles."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# The order in which data flows: a folder imports from folders left of it, and never from one beside it (a comma).
LAYERS = """
    errors | _compat | schemas | types | specs, annotations | plugins | store | synthesis | sources | ingestion
    | featurizers | features | tasks | evaluation | graph | nn | models | runs | training | prediction, tuning
    | explanation, analysis, comparison, auditing, reproduction | reporting | diagnostics | cli
"""
RANK = {name.strip(): rank for rank, layer in enumerate(LAYERS.split("|")) for name in layer.split(",")}


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


@cache
def imports(path: Path) -> list[tuple[str, int]]:
    """The graphsocial modules that a file imports and the lines where it does, type-checking imports included."""
    known, imported = modules(), []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "graphsocial":
            inner = node.module.removeprefix("graphsocial").removeprefix(".")
            for alias in node.names:
                whole = f"{inner}.{alias.name}".removeprefix(".")
                imported.append((whole if whole in known or not inner else inner, node.lineno))
    return imported


def left_of(name: str, imported: str) -> bool:
    """Whether `imported` is in the same folder as `name`, or in one left of it."""
    here, there = name.split(".")[0], imported.split(".")[0]
    return here == there or RANK[there] < RANK[here]


def test_every_folder_has_a_layer() -> None:
    folders = {name.split(".")[0] for name in modules()}
    assert folders - {"extending"} == set(RANK), "name each folder of graphsocial/ in LAYERS, here and in the design"


@pytest.mark.parametrize("name", [name for name in modules() if name != "extending"])
def test_imports_point_left(name: str) -> None:
    for imported, line in imports(modules()[name]):
        if imported in modules():  # else it is a public name of the package
            assert left_of(name, imported), f"{modules()[name]}:{line} imports '{imported}', which is not left of it"


def test_extending_is_imported_by_nobody() -> None:
    for name, path in modules().items():
        assert "extending" not in [imported for imported, _ in imports(path)], name


@pytest.mark.parametrize("folder", sorted(RANK))
def test_no_folder_has_a_circle_of_imports(folder: str) -> None:
    inside = {name for name in modules() if name.split(".")[0] == folder}
    graph = {
        name: {imported for imported, _ in imports(modules()[name]) if imported in inside - {name}} for name in inside
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(error.args[1]))


def test_the_layers_can_fail() -> None:
    assert left_of("training.loop", "runs") and left_of("graph.loaders", "graph")
    assert not left_of("runs", "training.loop") and not left_of("prediction", "tuning")


def test_dgl_has_one_door() -> None:
    """Only `_compat/dgl.py` imports DGL; the graph and the kernels name its types for type checkers."""
    for name, path in modules().items():
        tree = ast.parse(path.read_text())
        checked = {
            inner
            for node in ast.walk(tree)
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
            for inner in ast.walk(node)
        }
        for node in ast.walk(tree):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if any(n.split(".")[0] == "dgl" for n in names):
                allowed = ("graph", "nn") if node in checked else ()
                assert name == "_compat.dgl" or name.split(".")[0] in allowed, f"{path} imports dgl"


def test_packages_are_the_folders() -> None:
    written = (ROOT / "pyproject.toml").read_text().partition("\npackages = [")[2].partition("]")[0]
    listed = {line.strip(' ",') for line in written.splitlines() if line.strip()}
    folders = {
        "graphsocial." + str(p.parent.relative_to(ROOT)).replace("/", ".") for p in ROOT.glob("cli/**/__init__.py")
    }
    folders |= {"graphsocial.schemas"} | {f"graphsocial.schemas.{p.name}" for p in (ROOT / "schemas").glob("[a-z]*/")}
    folders |= {str(p.parent.relative_to(ROOT)).replace("/", ".") for p in ROOT.glob("graphsocial/**/__init__.py")}
    assert listed == folders


@pytest.mark.parametrize(
    "command", ["import graphsocial", "from graphsocial.cli import main", "import graphsocial as g; g.open"]
)
def test_import_loads_neither_torch_nor_dgl(command: str) -> None:
    code = f"{command}\nimport sys\nprint([m for m in ('torch', 'dgl', 'transformers', 'sklearn') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_listing_encoders_loads_no_heavy_package() -> None:
    """Whether an encoder's packages are there is told without them."""
    code = (
        "import io, sys\nfrom contextlib import redirect_stdout\nfrom graphsocial.cli.main import main\n"
        "with redirect_stdout(io.StringIO()):\n    main(['--quiet', 'list', 'featurizers'])\n"
        "print([m for m in ('torch', 'spacy', 'transformers', 'pandas', 'scipy', 'cv2') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"


def test_nothing_is_unpickled() -> None:
    for path in modules().values():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [a.name for a in node.names] + [getattr(node, "module", "") or ""]
                assert not {"pickle", "joblib", "dill"} & set(names), path
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                assert any(k.arg == "weights_only" and ast.unparse(k.value) == "True" for k in node.keywords), path


def test_public_names_exist_and_are_documented() -> None:
    import graphsocial

    for name in graphsocial.__all__:
        assert getattr(graphsocial, name).__doc__, name
    with pytest.raises(AttributeError, match="graphsocial has no 'ingset'"):
        graphsocial.ingset  # noqa: B018 - the access is the test


def public_functions() -> Iterator[tuple[str, ast.FunctionDef, str]]:
    """Where each public function or method is, its syntax tree, and its docstring (of `__init__` the class's)."""
    for name, path in modules().items():
        for top in ast.parse(path.read_text()).body:
            members = top.body if isinstance(top, ast.ClassDef) and not top.name.startswith("_") else [top]
            for node in members:
                if isinstance(node, ast.FunctionDef) and (node.name == "__init__" or not node.name.startswith("_")):
                    documented = top if node.name == "__init__" and isinstance(top, ast.ClassDef) else node
                    yield f"{name}:{node.lineno} {node.name}", node, ast.get_docstring(documented) or ""


def test_functions_of_three_parameters_document_their_arguments() -> None:
    """Commands are documented by the help texts of their options."""
    lacking = []
    for where, node, docstring in public_functions():
        parameters = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        several = len([entry for entry in parameters if entry.arg not in ("self", "cls")]) >= 3
        if several and "Args:" not in docstring and not where.startswith("cli."):
            lacking.append(where)
    assert not lacking
