"""Specs, ranges and assignments are read in one place, and written as they are read."""

from __future__ import annotations

import pytest

from graphsocial.errors import InputError
from graphsocial.specs import Range, Spec, assignment


@pytest.mark.parametrize(
    ("text", "name", "argument", "settings"),
    [
        ("sentence", "sentence", "", {}),
        ("vision:resnet50", "vision", "resnet50", {}),
        ("sentence,pooling=tokens", "sentence", "", {"pooling": "tokens"}),
        ("sentence:a:b,pooling=tokens,batch_size=8", "sentence", "a:b", {"pooling": "tokens", "batch_size": "8"}),
        ("hash_text,ngrams=1,2", "hash_text", "", {"ngrams": "1,2"}),
        ("file:a,b", "file", "a,b", {}),
    ],
)
def test_specs_are_written_as_they_are_read(text: str, name: str, argument: str, settings: dict[str, str]) -> None:
    spec = Spec.parse(text)
    assert (spec.name, spec.argument, spec.settings, str(spec)) == (name, argument, settings, text)


def test_a_plus_joins_specs() -> None:
    assert [str(spec) for spec in Spec.parse_all("hash_text,ngrams=1,2+sentence:a")] == [
        "hash_text,ngrams=1,2",
        "sentence:a",
    ]


def test_an_assignment_needs_a_name_and_an_equals_sign() -> None:
    assert assignment(" layers = 2=3 ") == ("layers", "2=3")
    for wrong in ("layers", "=2", " = 2"):
        with pytest.raises(InputError, match="is not NAME=VALUE"):
            assignment(wrong)


def test_ranges_are_written_as_they_are_read() -> None:
    assert Range.parse("0.001..0.01:log") == Range(0.001, 0.01, log=True)
    assert Range.parse("2..8") == Range(2, 8, whole=True)
    assert str(Range.parse("0.001..0.01:log")) == "0.001..0.01:log"
    for wrong in ("3", "a..b", "1..2:lin", "1..", "2..1", "0..1:log"):
        with pytest.raises(InputError, match="is no range"):
            Range.parse(wrong)
