"""How the benchmarks compare: both sides in turn in one process, minimum and median, a ratio, results kept as JSON."""

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
if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & set(os.environ):  # threads wait for both sides as under `graphsocial`;
    os.environ["GOMP_SPINCOUNT"] = "3000"
    os.execv(sys.executable, [sys.executable, *sys.argv])  # read when torch is loaded, which may have been before this

HERE = Path(__file__).parent
RESULTS = HERE / "results"


@dataclass(frozen=True)
class Timing:
    """Seconds of one side over the counted rounds; `cpu` is the least that all its threads worked.

    On a machine that others use too, the clock says how busy it was, and `cpu` still says what the work costs.
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
    """Time the sides in turn, A B A B …, so that a drifting machine touches both alike.

    Args:
        sides: name → what is timed; called `warmup` times uncounted first.
        rounds: counted calls of each.
        before: name → what is done ahead of each of its calls, untimed.
    """
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    worked: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(warmup + rounds):
        for name, call in sides.items():
            if before and name in before:
                before[name]()
            gc.collect()
            begin, used = perf_counter(), _cpu(call)
            call()
            took, used = perf_counter() - begin, _cpu(call) - used
            if turn >= warmup:
                seconds[name].append(took)
                worked[name].append(used)
            print(f"  {name}: {took:.3f} s, {used:.3f} s of CPU{'' if turn >= warmup else ' (warm-up)'}", flush=True)
    return {
        name: Timing(min(taken), statistics.median(taken), len(taken), min(worked[name]))
        for name, taken in seconds.items()
    }


def _cpu(call: Callable[[], object]) -> float:
    """Seconds that the process which does the work has used so far."""
    return call.cpu if isinstance(call, Process) else process_time()


class Process:
    """A side in a process of its own, which works when it is called and waits in between.

    The script is one that calls `serve`. For sides that differ in what a process has only one of, such as malloc.

    Args:
        script: the file.
        arguments: for it.
        environment: what is set for it beside this process's own.
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
        self.cpu = self._ask("cpu")

    def __call__(self) -> None:
        self.results.append(self._ask("work"))
        self.cpu = self._ask("cpu")

    def finish(self) -> float:
        """End it; returns its peak memory in GiB."""
        peak = self._ask("peak")
        self.process.communicate()
        return peak

    def _ask(self, word: str) -> float:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{self.process.args} ended with {self.process.wait()}.")
        return float(answer)


def serve(call: Callable[[], float]) -> None:
    """What a `Process` runs: answer each line of stdin with a number."""
    used = 0.0
    for line in sys.stdin:
        if line.strip() == "work":
            gc.collect()
            begin = process_time()
            answer = call()
            used += process_time() - begin
        else:
            answer = used if line.strip() == "cpu" else peak_gib()
        print(answer, flush=True)


def peak_gib() -> float:
    """The highest memory use of this process so far, in GiB (Linux)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 2**20
    raise RuntimeError("This system does not tell a process's peak memory.")


def bandwidth() -> float:
    """GB/s that a large copy moves here now, reads and writes counted."""
    import torch

    source = torch.empty(50_000_000)
    target = torch.empty_like(source)
    target.copy_(source)
    taken = []
    for _ in range(5):
        begin = perf_counter()
        target.copy_(source)
        taken.append(perf_counter() - begin)
    return 2 * source.nbytes / min(taken) / 1e9


def against(ours: Timing, peer: Timing) -> dict[str, float]:
    """How many times as long the peer takes, by minima and by medians."""
    return {
        "by_minimum": peer.minimum / ours.minimum,
        "by_median": peer.median / ours.median,
        "by_cpu": peer.cpu / ours.cpu,
    }


def keep(name: str, result: Mapping[str, object]) -> None:
    """Write one benchmark's result as `results/NAME.json` and renew the table in README.md."""
    RESULTS.mkdir(exist_ok=True)
    told = {"benchmark": name, "measured_at": datetime.now(timezone.utc).isoformat(timespec="seconds"), "host": host()}
    text = json.dumps({**told, **result}, indent=2, default=lambda value: asdict(value))
    (RESULTS / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    print(text)
    from _table import renew

    renew()


def host() -> dict[str, object]:
    """What the numbers depend on."""
    import torch

    packages = {name: version(name) for name in ("torch", "dgl", "torch_geometric", "duckdb", "numpy")}
    return {"cpu": platform.processor() or platform.machine(), "threads": torch.get_num_threads(), "packages": packages}
