"""Casts values to the types of annotations, such as settings from the command line to those of dataclass fields."""

from __future__ import annotations

import inspect
import math
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

LARGEST = 2**63 - 1
_BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def cast(value: object, hint: Any) -> Any:
    """`value` as the type of an annotation.

    Strings become int, float, bool (`true/false/yes/no/1/0`), str, Path, `Literal[...]`, `X | None` (`none`) or
    `tuple[X, ...]` (separated by commas). Other values are checked.

    >>> cast("16,8", tuple[int, ...])
    (16, 8)

    Raises:
        ValueError: the value does not fit; the message is what is allowed.
    """
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return _cast_union(value, inner)
    if origin is Literal:
        for choice in inner:
            if value == choice or (isinstance(value, str) and value == str(choice)):
                return choice
        raise ValueError(f"choose from {', '.join(str(choice) for choice in inner)}")
    if hint is tuple or origin is tuple:
        return _cast_tuple(value, inner)
    if hint is Any or hint is object:
        return value
    if hint is bool:
        flag = value.strip().lower() if isinstance(value, str) else value
        if isinstance(flag, bool) or flag in _BOOLEANS:
            return flag if isinstance(flag, bool) else _BOOLEANS[str(flag)]
        raise ValueError("write true or false")
    if hint in (int, float):
        return _cast_number(value, hint)
    if hint in (str, Path) and isinstance(value, str | Path):
        return hint(value)
    if inspect.isclass(hint) and isinstance(value, hint):
        return value
    raise ValueError(f"it must be {_type_name(hint)}")


def _cast_union(value: object, inner: Sequence[Any]) -> Any:
    if type(None) in inner and (value is None or (isinstance(value, str) and value.lower() in ("none", "null", ""))):
        return None
    reasons = []
    for hint in inner:
        if hint is not type(None):
            try:
                return cast(value, hint)
            except ValueError as error:
                reasons.append(str(error))
    raise ValueError(" or ".join([*reasons, *(["none"] if type(None) in inner else [])]))


def _cast_tuple(value: object, inner: Sequence[Any]) -> tuple[Any, ...]:
    if isinstance(value, str):
        value = [part.strip() for part in value.strip().removesuffix(",").split(",")] if value.strip() else []
    if not isinstance(value, Sequence):
        value = [value]
    if not inner or (len(inner) == 2 and inner[1] is Ellipsis):
        return tuple(cast(part, inner[0] if inner else str) for part in value)
    if len(value) != len(inner):
        raise ValueError(f"it must be {len(inner)} values with commas between them")
    return tuple(cast(part, hint) for part, hint in zip(value, inner, strict=True))


def _cast_number(value: object, hint: type[int] | type[float]) -> int | float:
    kind = "a whole number" if hint is int else "a number"
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"it must be {kind}")
    try:
        number = hint(value)
    except (ValueError, OverflowError):
        raise ValueError(f"it must be {kind}") from None
    if not math.isfinite(number) or (not isinstance(value, str) and number != value):
        raise ValueError(f"it must be {kind}")
    if hint is int and not -LARGEST <= number <= LARGEST:
        raise ValueError("it must be a whole number of 63 bits")
    return number


def _type_name(hint: Any) -> str:
    if hint in (str, Path):
        return "text" if hint is str else "a path"
    return str(getattr(hint, "__name__", hint))
