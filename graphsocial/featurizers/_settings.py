"""A featurizer checks its settings when it is made."""

from __future__ import annotations

from typing import Any, get_args

from graphsocial.errors import InputError, UnknownNameError


def check_minimum(featurizer: object, minimum: int, *names: str) -> None:
    """Check that settings are not too small.

    Args:
        featurizer: what has the settings.
        minimum: the least value that is allowed.
        names: of the settings.

    Raises:
        InputError: one is below the minimum.
    """
    for name in names:
        if getattr(featurizer, name) < minimum:
            raise InputError(f"{name} must be at least {minimum}, not {getattr(featurizer, name)}.")


def check_choice(what: str, value: str, choices: Any) -> None:
    """Check that a setting is one of those that its type allows.

    Args:
        what: what it is called in the error.
        value: the setting.
        choices: its type, a `Literal`.

    Raises:
        UnknownNameError: it is another.
    """
    if value not in get_args(choices):
        raise UnknownNameError.of(what, value, get_args(choices))
