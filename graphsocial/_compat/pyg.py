"""PyG is loaded here alone, when it is first needed: only the exchange of graphs with it needs it."""

from __future__ import annotations

import warnings
from typing import Any

from graphsocial.errors import PackageError


def import_pyg() -> Any:
    """The package `torch_geometric`, without the warnings of its import, which are about its own code.

    Raises:
        PackageError: it is not installed, or does not fit this torch.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import torch_geometric
            import torch_geometric.data
    except (ImportError, OSError) as error:
        raise PackageError(f"PyG cannot be loaded ({error}). Try: pip install 'torch_geometric>=2.6'") from error
    return torch_geometric
