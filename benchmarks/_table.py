"""The table in README.md, generated from `results/*.json` alone.

A result has a line in the table when it holds, among other keys,

    "seconds": {SIDE: {"minimum": s, "median": s, "rounds": n}, …},
    "row": {
        "what": what is measured, "peer": what it is compared with,
        "ours": SIDE, "theirs": SIDE,
        "most": 2.5 (ours takes at most that many times the peer's time) or "least": 10 (is at least that many times
                faster); neither where there is no target,
        "memory_least": 3 (the peer takes at least that many times our memory; optional),
    },
    "memory_ratio": how many times our memory the peer takes (optional),
    "measured_at", "host": as `keep` writes them.

Results without a `row` are named below the table. Targets are judged by the medians.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
BEGIN, END = "<!-- table begins; written by _table.py -->", "<!-- table ends -->"
HEAD = ("benchmark", "peer", "ours, min / median s", "peer, min / median s", "time", "target", "met", "peer's memory")
Result = Mapping[str, Any]


def renew(readme: Path = HERE / "README.md", results: Path = HERE / "results") -> None:
    """Replace the table between its two marks.

    Raises:
        ValueError: the marks are not in the file.
    """
    text = readme.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"'{readme}' needs the lines '{BEGIN}' and '{END}', around the table.")
    loaded = [json.loads(file.read_text(encoding="utf-8")) for file in sorted(results.glob("*.json"))]
    readme.write_text(f"{before}{BEGIN}\n{table(loaded)}\n{END}{after}", encoding="utf-8")


def table(results: list[Result]) -> str:
    """The results as a Markdown table, followed by their machines."""
    rows = [_cells(result) for result in results if "row" in result]
    lines = [f"| {' | '.join(cells)} |" for cells in (HEAD, ["---"] * len(HEAD), *rows)]
    others = [result["benchmark"] for result in results if "row" not in result]
    if others:
        lines += ["", f"Also in `results/`: {', '.join(others)}."]
    machines = sorted({_machine(result) for result in results})
    return "\n".join([*lines, *(line for machine in machines for line in ("", machine))])


def _cells(result: Result) -> list[str]:
    row, seconds = result["row"], result["seconds"]
    ours, theirs = seconds[row["ours"]], seconds[row["theirs"]]
    share = ours["median"] / theirs["median"]
    time, target, met = f"{share:.2f} ×", "", []
    if "most" in row:
        target = f"≤ {row['most']:g} ×"
        met.append(share <= row["most"])
    elif "least" in row:
        time, target = f"{1 / share:.1f} × faster", f"≥ {row['least']:g} × faster"
        met.append(1 / share >= row["least"])
    memory = result.get("memory_ratio")
    if "memory_least" in row:
        target += f", memory ≥ {row['memory_least']:g} ×"
        met.append(memory is not None and memory >= row["memory_least"])
    return [
        row["what"],
        row["peer"],
        *(f"{side['minimum']:.3g} / {side['median']:.3g}" for side in (ours, theirs)),
        time,
        target,
        ("yes" if all(met) else "no") if met else "",
        "" if memory is None else f"{memory:.1f} ×",
    ]


def _machine(result: Result) -> str:
    host = result["host"]
    packages = ", ".join(f"{name} {version}" for name, version in host["packages"].items())
    return f"{result['measured_at'][:10]}: {host['cpu']}, {host['threads']} threads; {packages}."


if __name__ == "__main__":
    renew()
