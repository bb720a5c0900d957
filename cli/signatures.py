"""Options in groups: a command takes a dataclass of options, and the command line shows its fields."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import fields, is_dataclass
from functools import wraps
from inspect import Parameter, Signature, signature
from typing import Annotated, Any, get_args, get_type_hints

import typer

from .options import CommonOptions, Session


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """The command as typer takes it: each group of options replaced by the options in it.

    A parameter whose type is a dataclass becomes the fields of that dataclass, in the dataclass's panel of `--help`.
    `session: Session` becomes `CommonOptions`, completed by those given before the command's name.
    """
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {name: kind for name, kind in hints.items() if is_dataclass(kind)}

    def parameters() -> Iterator[Parameter]:
        yield Parameter("ctx", Parameter.KEYWORD_ONLY, annotation=typer.Context)
        for name, parameter in signature(command).parameters.items():
            if name in groups:
                yield from _options(CommonOptions if groups[name] is Session else groups[name])
            elif name != "ctx":
                yield parameter.replace(kind=Parameter.KEYWORD_ONLY, annotation=hints[name])

    @wraps(command)
    def call(*, ctx: typer.Context, **given: Any) -> None:
        for name, kind in groups.items():
            group = CommonOptions if kind is Session else kind
            options = group(**{field.name: given.pop(field.name) for field in fields(group)})
            given[name] = options.session(ctx.obj) if kind is Session else options
        with _in_words(next((value for value in given.values() if isinstance(value, Session)), None)):
            command(**given, **({"ctx": ctx} if "ctx" in hints else {}))

    taken = list(parameters())
    call.__signature__ = Signature(taken)  # type: ignore[attr-defined]
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in taken}
    return call


@contextmanager
def _in_words(session: Session | None) -> Iterator[None]:
    """Turn errors of the system, such as a full disk or a damaged store, into a sentence."""
    try:
        yield
    except (KeyboardInterrupt, BrokenPipeError):
        raise
    except Exception as error:
        if session is None or hasattr(error, "format_message") or isinstance(error, typer.Exit):
            raise
        from graphsocial.errors import StoreError
        from graphsocial.store.faults import sentence

        words = sentence(error, session.path)
        if words is None:
            raise
        raise StoreError(words) from error


def _options(group: type[Any]) -> Iterator[Parameter]:
    """The options of a group, in its panel of `--help`."""
    hints = get_type_hints(group, include_extras=True)
    for field in fields(group):
        kind, option = get_args(hints[field.name])
        option = copy(option)
        option.rich_help_panel = group.panel
        yield Parameter(field.name, Parameter.KEYWORD_ONLY, default=field.default, annotation=Annotated[kind, option])
