"""Compiled loops over rows, run in several threads."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba
import torch
from torch import Tensor

from graphsocial.errors import InputError

SERIAL = 200_000  # numbers read or written below which one thread is faster

_OPTIONS: dict[str, Any] = {
    "nogil": True,
    "fastmath": {"nsz", "arcp", "contract", "afn", "reassoc"},  # not "no infinities": -inf stands for a masked edge
    "boundscheck": False,
    "error_model": "numpy",
}


def compiled(function: Callable[..., Any]) -> Any:
    """Compile a loop over rows on first use, and keep the machine code for the next process.

    Inner loops should run over slices from 0 on: an index with an offset could be negative for all that the compiler
    knows, and it would not use vector instructions.
    """
    try:
        return numba.njit(cache=True, **_OPTIONS)(function)
    except RuntimeError:  # neither the package's folder nor the user's cache can be written: compile in each process
        return numba.njit(**_OPTIONS)(function)


_pool: ThreadPoolExecutor | None = None


def _forget_threads() -> None:
    global _pool
    _pool = None  # threads do not come along into a forked process


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)


def run(kernel: Any, parts: Sequence[tuple[int, int]], work: int, *arguments: Any) -> None:
    """Call `kernel(lo, hi, *arguments)` on all rows, in as many threads as torch uses where the work is worth it.

    Args:
        kernel: compiled; writes to its rows only.
        parts: ranges of rows with about equally much work.
        work: how many numbers are read or written in all.
        arguments: tensors go in as arrays; those that are written must be contiguous.

    Raises:
        InputError: a tensor of another floating type than float32 and float64.
    """
    global _pool
    arrays = [as_array(argument) if isinstance(argument, Tensor) else argument for argument in arguments]
    threads = torch.get_num_threads()
    if threads == 1 or work < SERIAL or len(parts) == 1:
        kernel(parts[0][0], parts[-1][1], *arrays)
        return
    if _pool is None:
        _pool = ThreadPoolExecutor(max_workers=64, thread_name_prefix="graphsocial")
    waiting = iter(parts)

    def share() -> None:
        for lo, hi in waiting:  # a list's iterator gives each range to one thread
            kernel(lo, hi, *arrays)

    others = [_pool.submit(share) for _ in range(threads - 1)]
    share()
    for other in others:
        other.result()


def as_array(tensor: Tensor) -> Any:
    """The tensor's memory as a numpy array."""
    if tensor.is_floating_point() and tensor.dtype not in (torch.float32, torch.float64):
        raise InputError(f"Compiled kernels take float32 and float64, not {tensor.dtype}.")
    return tensor.detach().contiguous().numpy()
