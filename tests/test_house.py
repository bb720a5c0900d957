"""The house keeps its order: layers, doors to DGL, packaging, light imports, no pickles."""

from __future__ import annotations

import subprocess
import sys

import pytest
from house import (
    RANK,
    ROOT,
    circle,
    imported_modules,
    misplaced,
    modules,
    stray_dgl,
    undocumented,
    unpickled,
)

import graphsocial


def test_every_folder_has_a_layer() -> None:
    folders = {name.split(".")[0] for name in modules()}
    assert folders - {"extending"} == set(RANK), "name each folder of graphsocial/ in LAYERS, here and in the design"


@pytest.mark.parametrize("name", [name for name in modules() if name != "extending"])
def test_imports_point_left(name: str) -> None:
    assert not misplaced(name, modules()[name].read_text())


@pytest.mark.parametrize("folder", sorted(RANK))
def test_no_folder_has_a_circle_of_imports(folder: str) -> None:
    inside = {name for name in modules() if name.split(".")[0] == folder}
    assert not circle({name: imported_modules(name, modules()[name].read_text()) & inside for name in inside})


@pytest.mark.parametrize(
    ("name", "source", "fault"),
    [
        ("store.sql", "import graphsocial as gs; gs.train", "imports the package"),
        ("store.sql", "import graphsocial.training.loop", "'training.loop', which is not left"),
        ("store.sql", "from graphsocial import train", "'training', which is not left"),
        ("store.sql", "from graphsocial import training", "'training', which is not left"),
        ("store.sql", "def f():\n    from graphsocial.training.loop import fit", "store.sql:2 imports 'training.loop'"),
        ("store.sql", "from ..training import loop", "by a relative path"),
        ("graph.visibility", "from . import loaders", "by a relative path"),
        ("store.sql", "from graphsocial.extending import Plan", "'extending', which is for code outside"),
        ("store.sql", "from importlib import import_module\nimport_module('graphsocial.runs')", "'runs', which is not"),
        ("store.sql", "import importlib\nimportlib.import_module(f'graphsocial.{x}')", "a computed name"),
        ("prediction", "from graphsocial.tuning import tune", "'tuning', which is not left"),
    ],
)
def test_a_misplaced_import_is_seen(name: str, source: str, fault: str) -> None:
    assert fault in "; ".join(misplaced(name, source))


def test_allowed_imports_are_not_misplaced() -> None:
    assert not misplaced(
        "store.sql", "import duckdb\nfrom graphsocial.errors import StoreError\nimport graphsocial.types"
    )
    assert not misplaced("training.loop", "from graphsocial import runs")
    assert not misplaced("cli.comparing", "from .options import Session\nfrom graphsocial import train")


def test_a_circle_of_imports_is_seen() -> None:
    sources = {"cli.values": "from . import render", "cli.render": "from .values import cell"}
    assert "cli.values imports cli.render" in circle({name: imported_modules(name, sources[name]) for name in sources})


def test_dgl_has_one_door() -> None:
    assert not [fault for name, path in modules().items() for fault in stray_dgl(name, path.read_text())]


def test_dgl_past_its_door_is_seen() -> None:
    checked = "if TYPE_CHECKING:\n    from dgl import DGLGraph"
    for source in ("import dgl.ops", "from dgl import graph", "importlib.import_module('dgl')", "__import__('dgl')"):
        assert stray_dgl("graph.layers", source) and not stray_dgl("_compat.dgl", source)
    assert stray_dgl("store.sql", checked) and not stray_dgl("graph.layers", checked)
    assert stray_dgl("graph.layers", f"{checked}\nelse:\n    import dgl")


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
    assert not {name: faults for name, path in modules().items() if (faults := unpickled(path.read_text()))}


PICKLED = """
    import pickle
    from _pickle import loads
    import cloudpickle as c
    from joblib import numpy_pickle
    import joblib.numpy_pickle
    import_module('dill')
    import torch; torch.load(f)
    import torch as t; t.load(f, weights_only=False)
    from torch import load; load(f)
    from torch import load as read; read(f, weights_only=flag)
    import torch; read = torch.load
    import pandas as pd; pd.read_pickle(f)
    import numpy as np; np.load(f, allow_pickle=True)
    import numpy as np; np.load(f, None, True)
    import numpy; numpy.load(f, **options)
"""


@pytest.mark.parametrize("source", PICKLED.strip().splitlines())
def test_a_pickle_is_seen(source: str) -> None:
    assert unpickled(source.strip())


def test_what_loads_no_pickle_passes() -> None:
    assert not unpickled("import torch; torch.load(f, map_location='cpu', weights_only=True)")
    assert not unpickled("import numpy as np; np.load(f, mmap_mode='r'); np.load(f, allow_pickle=False)")
    assert not unpickled("import safetensors.torch; safetensors.torch.load(content); json.load(f)")


def test_public_names_exist_and_are_documented() -> None:
    for name in graphsocial.__all__:
        assert getattr(graphsocial, name).__doc__, name
    with pytest.raises(AttributeError, match="graphsocial has no 'ingset'"):
        graphsocial.ingset  # noqa: B018 - the access is the test


def test_functions_of_three_parameters_document_their_arguments() -> None:
    """Commands are documented by the help texts of their options."""
    for name, path in modules().items():
        assert name.startswith("cli.") or not undocumented(path.read_text()), name


def test_an_undocumented_function_is_seen() -> None:
    method = "    def __init__(self, a, b, c): ..."
    for source in ("def f(a, b, c): ...", "async def f(a, b, *, c): ...", f"class A:\n{method}"):
        assert undocumented(source)
    for source in ("def f(a, b): ...", "def _f(a, b, c): ...", f"class A:\n    'Args: a, b, c'\n{method}"):
        assert not undocumented(source)
