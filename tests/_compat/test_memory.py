"""Freed memory stays in the process, unless whoever started it chose otherwise."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib.util import find_spec

import pytest

PROGRAM = """
import resource, runpy, sys
print(runpy.run_path(sys.argv[1])["keep_freed"]())
size = 48 << 20  # more than glibc keeps by itself
for turn in range(6):
    if turn == 2:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    bytearray(size)[::4096] = bytes(size // 4096)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's malloc is configured")


def faults(**environment: str) -> tuple[str, int]:
    module = find_spec("graphsocial._compat.memory")
    assert module and module.origin
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    command = [sys.executable, "-c", PROGRAM, module.origin]
    output = subprocess.run(command, env=clean | environment, capture_output=True, text=True, check=True).stdout.split()
    return output[0], int(output[1])


def test_large_blocks_are_reused() -> None:
    kept, count = faults()
    assert kept == "True"
    assert count < 1000  # of 4 × 12,288 pages


@pytest.mark.parametrize(
    "environment", [{"MALLOC_TRIM_THRESHOLD_": "131072"}, {"GLIBC_TUNABLES": "glibc.malloc.trim_threshold=131072"}]
)
def test_a_chosen_malloc_is_left_alone(environment: dict[str, str]) -> None:
    kept, count = faults(**environment)
    assert kept == "False"
    assert count > 40_000
