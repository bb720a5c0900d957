"""Names, files and entry points resolve to one class, and settings given as text become what the fields say."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import ClassVar, Literal

import pytest

from graphsocial import plugins
from graphsocial.errors import InputError, MissingFileError, UnknownNameError
from graphsocial.plugins import configure, names, resolve, settings
from graphsocial.synthesis.notes import SyntheticNotes


@dataclass(frozen=True)
class Example:
    count: int
    rate: float = 0.1
    deep: bool = False
    name: str = "x"
    folder: Path = Path()
    mode: Literal["mean", "max"] = "mean"
    limit: int | None = None
    words: tuple[str, ...] = ()
    sizes: tuple[int, int] = (1, 2)
    either: int | float = 1
    made: int = field(default=0, init=False)
    kind: ClassVar[str] = "class"


FILE = """
from __future__ import annotations
from dataclasses import dataclass

@dataclass(frozen=True)
class MySource:
    rows: int = 3

    def plan(self, path, *, dataset=None):
        raise NotImplementedError
"""


def test_names_come_from_files_without_importing_them():
    script = """
import sys
from graphsocial.plugins import names
found = names("featurizer")
assert {"sentence", "vision", "hash_text"} <= set(found) and "base" not in found, found
loaded = [module for module in sys.modules if module == "torch" or module.startswith("graphsocial.featurizers")]
assert not loaded, loaded
"""
    subprocess.run([sys.executable, "-c", script], check=True)
    assert names("featurizer") == sorted(names("featurizer"))


def test_no_featurizer_loads_torch_before_it_is_used():
    script = """
import sys
from graphsocial.plugins import resolve
for name in ("sentence", "vision", "hash_text"):
    resolve("featurizer", name)().fingerprint()
assert "torch" not in sys.modules and "transformers" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_both_spellings_are_one_name():
    assert "edge-emotion" in names("task") and "edge_emotion" not in names("task")
    assert resolve("task", "edge-emotion") is resolve("task", "edge_emotion")
    assert resolve("task", "edge-emotion").__name__ == "EdgeEmotion"
    assert resolve("featurizer", "hash-text").__name__ == "HashText"


def test_unknown_names_say_what_was_meant():
    message = r"No featurizer is called 'sentense'\. Did you mean 'sentence'.*'graphsocial list featurizers' lists them"
    with pytest.raises(UnknownNameError, match=message):
        resolve("featurizer", "sentense")
    with pytest.raises(UnknownNameError, match=r"No kind of plugin is called 'featuriser'\. Did you mean 'featurizer'"):
        names("featuriser")
    for private in ("base", "_torchvision", "__init__"):
        with pytest.raises(UnknownNameError):
            resolve("featurizer", private)


def test_a_path_is_a_plugin(tmp_path):
    path = tmp_path / "my_source.py"
    path.write_text(FILE)
    cls = resolve("source", str(path))
    assert cls.__name__ == "MySource" and configure(cls, {"rows": "5"}).rows == 5
    assert resolve("source", str(path)) is cls  # the same file is the same class
    path.write_text(FILE.replace("rows: int = 3", "rows: int = 44"))
    assert resolve("source", str(path))().rows == 44  # an edited file is loaded anew


def test_the_recorded_name_is_the_modules_or_the_files(tmp_path):
    path = tmp_path / "my_source.py"
    path.write_text(FILE)
    assert plugins.registered_name(resolve("source", str(path))) == "my_source.py"
    assert plugins.registered_name(resolve("source", "iesn")) == "iesn"


def test_errors_for_paths_that_are_no_plugin(tmp_path):
    with pytest.raises(MissingFileError, match=r"no file '.*nowhere\.py' to take a source from"):
        resolve("source", str(tmp_path / "nowhere.py"))
    (tmp_path / "broken.py").write_text("1 / 0")
    with pytest.raises(InputError, match=r"broken.py' cannot be imported: ZeroDivisionError"):
        resolve("source", str(tmp_path / "broken.py"))
    (tmp_path / "other.py").write_text("from pathlib import Path\nclass Odd: pass\nclass _Hidden: pass\n")
    with pytest.raises(InputError, match=r"no class 'Other', which its name requires; it has: Odd\.$"):
        resolve("source", str(tmp_path / "other.py"))
    (tmp_path / "path.py").write_text("from pathlib import Path\n")  # an imported class is not the file's own
    with pytest.raises(InputError, match=r"it has: none\."):
        resolve("source", str(tmp_path / "path.py"))
    assert not [name for name in sys.modules if "broken" in name and name.startswith("_graphsocial")]


def test_entry_points_count(monkeypatch, tmp_path):
    reader = "\n@dataclass(frozen=True)\nclass MyReader(MySource):\n    rows: int = 1\n"
    (tmp_path / "their_package.py").write_text(FILE + reader)
    monkeypatch.syspath_prepend(tmp_path)
    points = [
        EntryPoint("my-source", "their_package", "graphsocial.sources"),
        EntryPoint("renamed", "their_package:MyReader", "graphsocial.sources"),
        EntryPoint("gone", "no_such_package", "graphsocial.sources"),
        EntryPoint("elsewhere", "their_package", "graphsocial.tasks"),
    ]
    monkeypatch.setattr(plugins, "entry_points", lambda group: [point for point in points if point.group == group])
    assert {"my_source", "renamed", "gone"} <= set(names("source")) and "elsewhere" not in names("source")
    assert resolve("source", "my_source").__name__ == "MySource"
    assert resolve("source", "renamed").__name__ == "MyReader"
    with pytest.raises(InputError, match=r"The plugin 'gone' \(no_such_package\) cannot be imported"):
        resolve("source", "gone")


def test_settings_are_the_fields_that_can_be_given():
    assert [entry.name for entry in settings(Example)][:3] == ["count", "rate", "deep"]
    assert {"made", "kind"}.isdisjoint(entry.name for entry in settings(Example))
    assert settings(int) == ()


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("count", "1_000", 1000),
        ("count", 7, 7),
        ("rate", "1e-3", 0.001),
        ("rate", 2, 2.0),
        ("deep", "yes", True),
        ("deep", "FALSE", False),
        ("deep", "0", False),
        ("deep", True, True),
        ("name", "none", "none"),
        ("folder", "a/b", Path("a/b")),
        ("mode", "max", "max"),
        ("limit", "none", None),
        ("limit", None, None),
        ("limit", "3", 3),
        ("words", "a, b,c", ("a", "b", "c")),
        ("words", "a", ("a",)),
        ("words", "a,", ("a",)),
        ("words", "", ()),
        ("words", ["a", "b"], ("a", "b")),
        ("sizes", "3,4", (3, 4)),
        ("either", "2", 2),
        ("either", "2.5", 2.5),
    ],
)
def test_text_is_cast_to_the_type_of_the_field(name, text, value):
    cast_value = getattr(configure(Example, {"count": 1, name: text}), name)
    assert cast_value == value and type(cast_value) is type(value)


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("count", "1.5", "Example cannot take count='1.5': it must be a whole number."),
        ("count", 1.5, "whole number"),
        ("count", "true", "whole number"),
        ("count", True, "whole number"),
        ("rate", "fast", "it must be a number"),
        ("rate", "nan", "it must be a number"),
        ("deep", "maybe", "write true or false"),
        ("deep", "2", "write true or false"),
        ("name", 3, "it must be text"),
        ("mode", "sum", "choose from mean, max"),
        ("limit", "many", "it must be a whole number or none"),
        ("words", [1], "it must be text"),
        ("sizes", "3", "it must be 2 values with commas"),
        ("sizes", "3,x", "whole number"),
        ("cuont", "3", "No setting of Example is called 'cuont'. Did you mean 'count'?"),
        ("made", "3", "No setting of Example is called 'made'"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_with_what_is_allowed(name, text, reason):
    with pytest.raises(InputError) as caught:
        configure(Example, {"count": 1, name: text})
    assert reason in str(caught.value)


def test_a_missing_required_setting_is_an_error():
    with pytest.raises(InputError, match=r"Example needs the setting 'count'\. Give it with --set count=VALUE"):
        configure(Example, {})


def test_dashes_name_settings_too_and_checks_of_the_class_hold():
    from graphsocial.featurizers.hash_text import HashText

    assert configure(HashText, {"batch-size": "8", "ngrams": "1"}) == HashText(batch_size=8, ngrams=(1,))
    with pytest.raises(InputError, match="at least 1"):
        configure(HashText, {"dimension": "0"})


def test_settings_are_all_named_where_none_is_meant():
    """No command lists the settings of such a class as a synthetic dataset's."""
    with pytest.raises(
        InputError, match=r"No setting of SyntheticNotes is called 'users'\. Known: author, .*, notes, "
    ):
        configure(SyntheticNotes, {"users": 3})
