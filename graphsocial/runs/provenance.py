"""The environment of a run: versions, git revision, machine and memory."""

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
    """A BLAKE2b hash of a JSON value, 16 hexadecimal characters."""
    return blake2b(json.dumps(value, sort_keys=True, default=str).encode(), digest_size=8).hexdigest()


def versions() -> dict[str, str]:
    """The versions of Python and of the packages that affect the results."""
    return {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


def git_revision() -> str | None:
    """The revision of the git checkout that graphsocial runs from; None for an installed package."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        process = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return process.stdout.strip()


def peak_memory_mib() -> float:
    """Peak resident memory of this process, MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def host() -> str:
    """The machine as text: system, processor, cores, torch's threads."""
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads"
