"""Errors, whose messages say what was given, what is allowed and what to try."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

SHORT = 12  # number of names up to which an error lists all
NEAREST = 3  # number of names that it proposes where there are more


class GraphSocialError(Exception):
    """The root of every error that graphsocial raises on purpose."""


class InputError(GraphSocialError, ValueError):
    """A file, a value or a setting that cannot be used as given."""


class MissingFileError(InputError, FileNotFoundError):
    """A file or folder that should be there is not."""

    def __str__(self) -> str:  # FileNotFoundError would format its arguments as an errno
        return str(self.args[0]) if self.args else ""


class UnknownNameError(GraphSocialError, LookupError):
    """A name that is not registered; the message proposes a similar one, and names those that are."""

    @classmethod
    def of(
        cls, kind: str, name: str, known: Iterable[str], *, listing: str = "", short: int = SHORT
    ) -> UnknownNameError:
        """Build the sentence: `No source is called 'iens'. Did you mean 'iesn'? Known: …`.

        Args:
            kind: kind of the thing named, such as `source`.
            name: the name that was given.
            known: all registered names.
            listing: the command that lists them.
            short: number of registered names up to which the message has all; otherwise the most similar or the first.
        """
        known = sorted(known)
        many = len(known) > short
        close = get_close_matches(name, known, n=NEAREST if many else 1)
        hint = f" Did you mean {' or '.join(map(repr, close))}?" if close else ""
        if not many:
            return cls(f"No {kind} is called '{name}'.{hint} Known: {', '.join(known) or 'none yet'}.")
        some = "" if close else f", such as {', '.join(known[:NEAREST])}"
        shown = f"; '{listing}' lists them" if listing else ""
        return cls(f"No {kind} is called '{name}'.{hint} {len(known):,} are known{some}{shown}.")


class StoreError(GraphSocialError, OSError):
    """The store cannot be opened, read or written."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class DataError(InputError):
    """The data in the store do not suffice: no labels, one class, an empty split."""


class FeatureError(GraphSocialError, RuntimeError):
    """An encoder is missing what it needs: weights, a package, readable input."""


class TrainingError(GraphSocialError, RuntimeError):
    """Training went wrong: a loss that is not finite, a checkpoint that does not fit."""


class PackageError(GraphSocialError, ImportError):
    """An optional package that this needs is not installed."""
