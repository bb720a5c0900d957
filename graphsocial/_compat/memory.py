"""Keeps the memory of freed tensors in the process, so that a training step need not map it anew."""

from __future__ import annotations

import ctypes
import os
import platform

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
_LARGEST, _NEVER = 2**31 - 1, -1
_CHOSEN = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_MAX_", "MALLOC_TOP_PAD_")


def keep_freed() -> bool:
    """Configure the C library to reuse large blocks instead of mapping them anew; whether it does.

    glibc maps each block above a threshold, of at most 32 MiB, by itself, and gives it back when it is freed. A hidden
    state of 131,072 nodes and 64 numbers is as large as that: from there on each tensor of each step costs a page
    fault per 4 KiB, half of a step's time. The process then keeps its highest use of memory until it ends.

    Other C libraries are left alone, and so is a malloc that the environment has set up (`GLIBC_TUNABLES`, `MALLOC_…`).
    """
    chosen = "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", "") or any(name in os.environ for name in _CHOSEN)
    if chosen or platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(_MMAP_THRESHOLD, _LARGEST) and mallopt(_TRIM_THRESHOLD, _NEVER))
