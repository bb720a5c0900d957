"""What users write in one word: `sentence:minilm,pooling=tokens`, `file:DIR`, `0.001..0.01:log`, `layers=2`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from graphsocial.errors import InputError


@dataclass(frozen=True)
class Spec:
    """A name, what follows its colon, and settings: `sentence:minilm,pooling=tokens` or `column:split`.

    Attributes:
        text: all but the settings.
        settings: name → value, as they were written.

    >>> spec = Spec.parse("sentence:minilm,pooling=tokens")
    >>> spec.name, spec.argument, dict(spec.settings), str(spec)
    ('sentence', 'minilm', {'pooling': 'tokens'}, 'sentence:minilm,pooling=tokens')
    """

    text: str
    settings: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> Spec:
        """Read one spec; only commas before `name=` separate settings, so that values may hold commas."""
        head, *settings = re.split(r",(?=[a-z_]+=)", text)
        return cls(head, dict(assignment(setting) for setting in settings))

    @classmethod
    def parse_all(cls, text: str) -> tuple[Spec, ...]:
        """Read specs that are joined by `+`."""
        return tuple(cls.parse(part) for part in text.split("+"))

    @property
    def name(self) -> str:
        """What stands before the first colon."""
        return self.text.partition(":")[0]

    @property
    def argument(self) -> str:
        """What follows the first colon; empty where there is none."""
        return self.text.partition(":")[2]

    def __str__(self) -> str:
        return ",".join([self.text, *(f"{name}={value}" for name, value in self.settings.items())])


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included: `0.001..0.01:log`, or `2..8` for whole numbers.

    Attributes:
        log: drawn evenly on a logarithmic scale.
        whole: whole numbers only.
    """

    low: float
    high: float
    log: bool = False
    whole: bool = False

    def __post_init__(self) -> None:
        if not self.low < self.high or (self.log and self.low <= 0):
            raise InputError(f"{self} is no range: the low end comes first, and is above 0 on a logarithmic scale.")

    def __str__(self) -> str:
        return f"{self.low:g}..{self.high:g}" + (":log" if self.log else "")

    @classmethod
    def parse(cls, text: str) -> Range:
        """Read a range.

        Raises:
            InputError: it is not written so.
        """
        ends, _, scale = text.partition(":")
        low, dots, high = ends.partition("..")
        try:
            if not dots or scale not in ("", "log"):
                raise ValueError
            whole = all(end.strip().lstrip("-").isdigit() for end in (low, high))
            return cls(float(low), float(high), scale == "log", whole)
        except ValueError as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"'{text}' is no range; write it like 0.001..0.01:log, or 2..8.") from None


def assignment(text: str) -> tuple[str, str]:
    """The name and the value of `name=value`, without the spaces around them.

    Raises:
        InputError: there is no `=`, or nothing before it.
    """
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise InputError(f"'{text}' is not NAME=VALUE.")
    return name.strip(), value.strip()
