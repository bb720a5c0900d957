"""Report pages in headless Chromium: their headings, and that all charts are drawn."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)


def headings(path: Path) -> list[str]:
    """The titles of a page's sections."""
    return re.findall(r"<h2>(.*?)</h2>", path.read_text("utf-8").partition("<script>")[0])


def drawn(page: Path, folder: Path) -> int:
    """Assert that headless Chromium draws every chart of a page, none empty; return their number. Needs Chromium.

    Args:
        page: the HTML file.
        folder: for the browser's profile and its screenshot.
    """
    if CHROMIUM is None:
        pytest.skip("no Chromium is on this machine to open the page with")
    shot = folder / "page.png"
    options = ("--headless=new", "--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP * ~NOTFOUND")
    profile = f"--user-data-dir={folder / 'profile'}"
    waiting = ("--virtual-time-budget=20000", "--window-size=1280,6000", "--enable-logging=stderr")

    def browse(*more: str) -> subprocess.CompletedProcess[str]:
        command = [CHROMIUM or "", *options, profile, *waiting, *more, page.as_uri()]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)

    opened = browse("--dump-dom")
    assert "CONSOLE" not in opened.stderr, [line for line in opened.stderr.splitlines() if "CONSOLE" in line]
    charts = opened.stdout.partition("<main>")[2].split('<div class="chart')[1:]
    assert f'data-drawn="{len(charts)}"' in opened.stdout
    for chart in charts:
        title = re.findall(r"<figcaption>(.*?)</figcaption>", chart, re.DOTALL)[0]
        (svg,) = re.findall(r"<svg[^>]*class=\"marks\".*?</svg>", chart, re.DOTALL)
        marks = re.findall(
            r'class="mark-(?:symbol|rect|rule|line|area|text|arc) role-mark[^"]*".*?</g>', svg, re.DOTALL
        )
        assert any("<path" in mark or "<line" in mark or "<text" in mark for mark in marks), (
            f"nothing is drawn: {title}"
        )
        assert "NaN" not in svg, title
    browse(f"--screenshot={shot}")
    pixels = np.asarray(Image.open(shot).convert("RGB"))
    assert pixels.shape[1] == 1280
    used = pixels[: np.flatnonzero((pixels < 250).any(axis=(1, 2)))[-1]]
    coloured = (used.max(axis=2).astype(int) - used.min(axis=2)) > 60
    for part in np.array_split(coloured, 3):  # more than black text on white, all along the page
        assert part.any(axis=1).mean() > 0.05
    return len(charts)
