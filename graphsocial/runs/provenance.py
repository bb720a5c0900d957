"""What a run's numbers depend on beside its configuration: versions, revision, machine."""

from __future__ import annotations

import json
import os
import platform
import resource
import subprocess
import sys
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("graphsocial", "torch", "dgl", "duckdb", "numpy", "scikit-learn", "transformers", "sentence-transformers")


def digest(value: Any) -> str:
    """Sixteen hex characters of a JSON value."""
    return blake2b(json.dumps(value, sort_keys=True, default=str).encode(), digest_size=8).hexdigest()


def versions() -> dict[str, str]:
    """The versions of Python and of the packages that numbers depend on."""
    return {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


def git_revision() -> str | None:
    """The revision of the git checkout that graphsocial runs from; None for an installed package."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        found = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return found.stdout.strip()


def peak_memory_mib() -> float:
    """The most memory this process has held, MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def host() -> str:
    """The machine in words: system, processor, cores, torch's threads."""
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads"
