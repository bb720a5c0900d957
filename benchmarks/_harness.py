"""Interleaved timing of both sides of a benchmark: minimum, median and ratio, kept as JSON."""

from __future__ import annotations

import gc
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from time import perf_counter, process_time

os.environ.setdefault("DGLBACKEND", "pytorch")
if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & set(os.environ):  # both sides with the waiting policy of `graphsocial`;
    os.environ["GOMP_SPINCOUNT"] = "3000"
    os.execv(sys.executable, [sys.executable, *sys.argv])  # read when torch is loaded, which may be before this

HERE = Path(__file__).parent
RESULTS = HERE / "results"


@dataclass(frozen=True)
class Timing:
    """Seconds of one side over the counted rounds.

    Attributes:
        minimum, median: of the wall time.
        rounds: number of counted rounds.
        cpu: the minimum CPU time of all threads, which a shared machine disturbs less.
    """

    minimum: float
    median: float
    rounds: int
    cpu: float


def interleave(
    sides: Mapping[str, Callable[[], object]],
    *,
    rounds: int = 5,
    warmup: int = 1,
    before: Mapping[str, Callable[[], object]] | None = None,
) -> dict[str, Timing]:
    """Time the sides interleaved, A B A B …, so that changes in the load of the machine affect both alike.

    Args:
        sides: name → the function to time.
        rounds: number of counted calls of each.
        warmup: number of uncounted calls of each, first.
        before: name → an untimed function to call before each call of that side.

    Returns:
        Name → its timing.
    """
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    cpu_seconds: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(warmup + rounds):
        for name, call in sides.items():
            if before and name in before:
                before[name]()
            gc.collect()
            begin, cpu = perf_counter(), _cpu(call)
            call()
            elapsed, cpu = perf_counter() - begin, _cpu(call) - cpu
            if turn >= warmup:
                seconds[name].append(elapsed)
                cpu_seconds[name].append(cpu)
            print(f"  {name}: {elapsed:.3f} s, {cpu:.3f} s of CPU{'' if turn >= warmup else ' (warm-up)'}", flush=True)
    return {
        name: Timing(min(wall), statistics.median(wall), len(wall), min(cpu_seconds[name]))
        for name, wall in seconds.items()
    }


def _cpu(call: Callable[[], object]) -> float:
    """CPU seconds so far of the process that runs the side."""
    return call.cpu if isinstance(call, Process) else process_time()


class Process:
    """A side in a separate process, for sides that differ in a setting of the process, such as malloc.

    Args:
        script: a Python file that calls `serve`.
        arguments: its command-line arguments.
        environment: environment variables in addition to this process's own.
    """

    def __init__(self, script: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, script, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | dict(environment or {}),
            text=True,
        )
        self.results: list[float] = []
        self.cpu = self._request("cpu")

    def __call__(self) -> None:
        self.results.append(self._request("work"))
        self.cpu = self._request("cpu")

    def finish(self) -> float:
        """End the process; returns its peak memory in GiB."""
        peak = self._request("peak")
        self.process.communicate()
        return peak

    def _request(self, word: str) -> float:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()
        reply = self.process.stdout.readline()
        if not reply:
            raise RuntimeError(f"{self.process.args} ended with {self.process.wait()}.")
        return float(reply)


def serve(call: Callable[[], float]) -> None:
    """The loop of a `Process`: replies to each line of stdin with a number."""
    cpu = 0.0
    for line in sys.stdin:
        if line.strip() == "work":
            gc.collect()
            begin = process_time()
            reply = call()
            cpu += process_time() - begin
        else:
            reply = cpu if line.strip() == "cpu" else peak_gib()
        print(reply, flush=True)


def peak_gib() -> float:
    """Peak memory of this process so far, in GiB (Linux)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 2**20
    raise RuntimeError("This system does not report the peak memory of a process.")


def bandwidth() -> float:
    """GB/s of a large memory copy on this machine, counting reads and writes."""
    import torch

    source = torch.empty(50_000_000)
    target = torch.empty_like(source)
    target.copy_(source)
    seconds = []
    for _ in range(5):
        begin = perf_counter()
        target.copy_(source)
        seconds.append(perf_counter() - begin)
    return 2 * source.nbytes / min(seconds) / 1e9


def against(ours: Timing, peer: Timing) -> dict[str, float]:
    """The time of the peer as a multiple of ours, by minima and by medians."""
    return {
        "by_minimum": peer.minimum / ours.minimum,
        "by_median": peer.median / ours.median,
        "by_cpu": peer.cpu / ours.cpu,
    }


def keep(name: str, result: Mapping[str, object]) -> None:
    """Write one benchmark's result as `results/NAME.json` and update the table in README.md."""
    RESULTS.mkdir(exist_ok=True)
    header = {
        "benchmark": name,
        "measured_at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "host": host(),
    }
    text = json.dumps({**header, **result}, indent=2, default=lambda value: asdict(value))
    (RESULTS / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    print(text)
    from _table import renew

    renew()


def host() -> dict[str, object]:
    """The machine and the package versions of the measurement."""
    import torch

    packages = {name: version(name) for name in ("torch", "dgl", "torch_geometric", "duckdb", "numpy")}
    return {"cpu": platform.processor() or platform.machine(), "threads": torch.get_num_threads(), "packages": packages}
