"""The house keeps its order: layers, doors to DGL, packaging, light imports, no pickles."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# Imports point left only. A layer is a row; its parts, where it has several, are in order too, and the modules of one
# part do not import one another.
LAYERS: list[list[set[str]]] = [
    [{"errors"}, {"types", "schemas", "_torchvision", "sql", "files"}],
    [{"synthetic_content"}, {"synthetic_world", "synthetic_notes"}, {"synthesis"}],
    [{"plugins"}],
    [{"incoming", "database"}, {"store"}],
    [{"sources.base"}, {"affect"}, {"sources._mapping", "sources._iesn_layout"}, {"sources.*"}],
    [{"tabular"}],
    [
        {"featurizers._upper_layers"},
        {"featurizers.base"},
        {
            f"featurizers._{name}"
            for name in ("packed_e5", "images", "efficientnet_lite", "classifiers", "hub", "word_vectors")
        },
        {"featurizers._packed_gguf"},
        {"featurizers._mtcnn", "featurizers._mini_xception", "featurizers._acoustics"},
        {"featurizers.vision"},
        {"featurizers.*"},
        {"featurizers.caption"},
    ],
    [{"tasks.base"}, {"tasks._posts"}, {"tasks.*"}],
    [{"metrics", "splits"}],
    [{"reading"}, {"checks"}, {"staging"}, {"records"}, {"rejection"}, {"ingestion"}],
    [{"chains"}, {"feature_sets", "contents", "learners"}, {"featurization"}, {"encoding_time"}],
    [{"feature_tensors", "similarity"}],
    [{"linking"}],
    [{"graph", "runs"}, {"building", "objectives"}],
    [
        {"nn.relation"},
        {"nn.kernels"},
        {f"nn.kernels.{name}" for name in ("_scatter", "_threads", "_memory", "_vectors")},
        {f"nn.kernels.{name}" for name in ("fused", "csr", "stock", "columns", "neighbours")},
        {"nn.products"},
        {"nn.aggregation", "nn.convolution", "nn.dropout", "nn.fusion", "nn.normalisation"},
        {"nn.edge_softmax", "nn.inputs", "nn.labelled", "nn.temporal", "nn.tree"},
        {"nn.cross_modal", "nn.dialogues", "nn.tuned", "nn.words"},
        {"nn.graph_attention"},
        {"nn"},
    ],
    [{"sampling", "dealing"}, {"loaders"}],
    [{"models.base"}, {"models._dialogue", "models._graph_context"}, {"models.*"}],
    [{"checkpoints"}, {"fitting"}],
    [{"experiment"}, {"preparation"}],
    [{"training", "estimation", "benchmarking"}],
    [{"prediction"}, {"alternatives", "embedding"}],
    [{"trials"}, {"tuning"}],
    [{"reproduction.base"}, {"reproduction._plan"}, {"reproduction"}, {"reproduction.*"}],
    [{f"explanation.{name}"} for name in ("ablation", "attribution", "neighbourhoods", "sequences")]
    + [{"explanation"}],
    [
        {"analysis.base"},
        {"analysis"},
        {"analysis._measures"},
        {"analysis._assortativity", "analysis._averages", "analysis._files"},
        {"analysis.*"},
    ],
    [
        {"comparison.outcomes"},
        {f"comparison.{name}" for name in ("bootstrap", "calibration", "configurations")},
        {"comparison.breakdowns"},
        {"comparison"},
    ],
    [{"auditing.base"}, {"auditing.messages"}, {"auditing.*"}, {"auditing"}],
    [
        {"reporting", "reporting.page", "reporting.subject"},
        {"reporting.charts", "reporting.embeddings", "reporting.analyses.base"},
        {"reporting.matrices", "reporting.analyses.charts"},
        {f"reporting.analyses.{name}" for name in ("network", "popularity", "emotion", "robustness")},
        {"reporting.analyses"},
        {"reporting.data"},
        {"reporting.results", "reporting.groups", "reporting.network", "reporting.inner", "reporting.card"},
        {"reporting.explained"},
        {"reporting.writing"},
    ],
    [{"doctor"}],
    [{"cli.*"}],
]
DOORS_TO_DGL = ("graph", "nn", "models", "doctor")


def modules() -> dict[str, Path]:
    found = {}
    for folder, prefix in (("graphsocial", ""), ("cli", "cli."), ("schemas", "schemas.")):
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = prefix + ".".join(path.relative_to(ROOT / folder).with_suffix("").parts)
            found[name.removesuffix(".__init__").removesuffix("__init__").removesuffix(".")] = path
    found.pop("", None)
    return found


def test_every_place_is_named_once() -> None:
    named = [name for parts in LAYERS for names in parts for name in names]
    assert sorted(named) == sorted(set(named))


def place(name: str) -> tuple[int, int]:
    for layer, parts in enumerate(LAYERS):
        for part, names in enumerate(parts):
            if name in names:
                return layer, part
    for layer, parts in enumerate(LAYERS):
        for part, names in enumerate(parts):
            if f"{name.split('.')[0]}.*" in names:
                return layer, part
    raise AssertionError(f"'{name}' has no layer: give it one in this test and in the design")


def imports(path: Path) -> list[tuple[str, int]]:
    """The graphsocial modules that a file imports, type-checking imports included."""
    known, found = modules(), []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "graphsocial":
            inner = node.module.removeprefix("graphsocial").removeprefix(".")
            for alias in node.names:
                whole = f"{inner}.{alias.name}".removeprefix(".")
                found.append((whole if whole in known or not inner else inner, node.lineno))
    return found


@pytest.mark.parametrize("name", [name for name in modules() if name and not name.startswith("schemas")])
def test_imports_point_left(name: str) -> None:
    known = modules()
    for imported, line in imports(known[name]):
        if imported not in known:  # a public name of the package, from the command line
            continue
        here, there = place(name), place(imported)
        inside = name.startswith("cli") and imported.startswith("cli")
        assert there < here or inside or (there == here and name == imported), (
            f"{known[name].name}:{line}: '{name}' imports '{imported}', which is not left of it"
        )


def test_dgl_has_few_doors() -> None:
    for name, path in modules().items():
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if any(n.split(".")[0] == "dgl" for n in names):
                assert name.split(".")[0] in DOORS_TO_DGL, f"{path} imports dgl"


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
