"""Imports DGL, when it is first needed: for its own kernel, and to exchange graphs with it."""

from __future__ import annotations

import os
from typing import Any

from graphsocial.errors import PackageError


def import_dgl() -> Any:
    """The package `dgl`, with PyTorch as its backend.

    Raises:
        PackageError: it is not installed, or does not fit this Python or torch.
    """
    os.environ.setdefault("DGLBACKEND", "pytorch")  # otherwise DGL prompts, and writes into the home folder
    try:
        import dgl
        import dgl.ops
    except (ImportError, OSError) as error:
        raise PackageError(f"DGL cannot be loaded ({error}). Try: pip install dgl==1.1.3 packaging") from error
    return dgl
