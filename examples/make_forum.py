"""Makes the forum that `custom_*.py` work on: messages of twelve members, where friendly ones get more votes.

    python make_forum.py forum

The folder has `messages.csv` and the pictures that it names. The same numbers are drawn each time.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
from PIL import Image


def make_forum(folder: Path, messages: int = 120) -> None:
    """Write the messages and pictures; a friendly message has friendly words and a bright picture."""
    random = np.random.default_rng(0)
    (folder / "pictures").mkdir(parents=True)
    with (folder / "messages.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["message_id", "author", "text", "picture", "written", "reply_to", "votes"])
        for n in range(messages):
            friendly = bool(random.integers(2))
            picture = f"pictures/{n}.png" if n % 4 == 0 else ""
            if picture:
                Image.new("RGB", (8, 8), (220, 200, 40) if friendly else (30, 30, 40)).save(folder / picture)
            words = "thank you, great" if friendly else "no, wrong"
            votes = "" if n % 11 == 0 else int(random.integers(3, 30) if friendly else random.integers(0, 3))
            day = f"2024-{1 + n // 20:02d}-{1 + n % 20:02d}T08:00:00Z"
            rows.writerow([f"m{n}", f"a{n % 12}", f"{words} {n}", picture, day, f"m{n // 2}" if n % 3 else "", votes])


if __name__ == "__main__":
    make_forum(Path(sys.argv[1] if len(sys.argv) > 1 else "forum"))
