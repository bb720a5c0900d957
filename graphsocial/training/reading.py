"""The recorded configuration of a run, read and checked: it may be of another version of graphsocial."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Iterator, Mapping
from dataclasses import MISSING, Field
from pathlib import Path
from typing import Any

from graphsocial import plugins
from graphsocial.annotations import cast
from graphsocial.errors import GraphSocialError, InputError, MissingFileError
from graphsocial.runs import Run
from graphsocial.specs import Spec

log = logging.getLogger(__name__)
RENAMED = {"fitting": {"cold": "cold_start_share", "naming": "decision_rule"}, "visibility": {"asked": "predicted"}}
"""Part of a configuration → former name of a setting → its present name."""
RENAMED_MODELS = {"image_prior": "destination_prior", "user_image_bias": "bias"}
"""Former name of a model → its present name."""


def check_names(run: Run, known: Collection[str]) -> None:
    """Warn of recorded settings that are not among the names of a configuration's parts.

    Raises:
        InputError: the run has no configuration.
    """
    if not isinstance(run.config, Mapping):
        raise _unfit(run, "run", run.config)
    for name in sorted(run.config.keys() - {*known, "defaulted", "code"}):
        log.warning("The run '%s' has a setting that no longer exists and is ignored: %s.", run.id, name)


def mapping(run: Run, name: str) -> dict[str, Any]:
    """The recorded names and values of a part; none if the part is missing.

    Raises:
        InputError: they are something else.
    """
    values = run.config.get(name, {})
    if not isinstance(values, Mapping):
        raise _unfit(run, name, values)
    return dict(values)


def named(run: Run, name: str) -> tuple[str, dict[str, Any]]:
    """The recorded name of the task or the model, and its settings.

    Raises:
        InputError: there is no name.
    """
    settings = mapping(run, name)
    registered = settings.pop("name", None)
    if not isinstance(registered, str):
        raise _misfit(run, name, f"'{name}.name' is {json.dumps(registered)}, where a name is expected.")
    return RENAMED_MODELS.get(registered, registered) if name == "model" else registered, settings


def value(run: Run, name: str, hint: Any, default: object) -> Any:
    """A recorded setting that belongs to no part.

    Args:
        run: the run.
        name: of the setting.
        hint: its type.
        default: its value where the configuration lacks it.

    Raises:
        InputError: the value does not fit the type.
    """
    given = run.config.get(name, default)
    try:
        return cast(given, hint)
    except ValueError as error:
        raise _misfit(run, "run", f"it cannot take {name}={json.dumps(given)}: {error}.") from error


def check_files(run: Run, *, allow_code: bool) -> None:
    """Check, before anything of them runs, that the files that a run names may run: a store is data.

    A file runs if its hash is the recorded one and the user allows it, or has given its path in this process before.

    Args:
        run: the run, which may come from someone else.
        allow_code: whether the user allows its files to run.

    Raises:
        InputError: a file was not allowed to run, or has another hash than the recorded one.
        MissingFileError: it is not here.
    """
    hashes = mapping(run, "code")
    for part, plugin, name in _files(run):
        path = Path(name).expanduser()
        if not path.is_file():
            raise MissingFileError(
                f"The run '{run.id}' has its {plugin} from the file '{name}', which is not here. Run the command in "
                "the folder from which that path leads to it."
            )
        if part not in hashes:
            raise InputError(
                f"The run '{run.id}' has no hash of the file '{name}', its {plugin}, so the file cannot be checked and "
                "is not run. Train again: that is another run."
            )
        if hashes[part] not in plugins.file_hashes(path):
            raise _changed(run, plugin, name)
        if not (allow_code or plugins.is_loaded(plugin, path)):
            raise InputError(
                f"The run '{run.id}' has its {plugin} from the file '{name}', and what a store names is not run "
                "unasked. Read the file; if you trust it, give --allow-code, in Python "
                "graphsocial.open(path, allow_code=True)."
            )


def _files(run: Run) -> Iterator[tuple[str, str, str]]:
    """The Python files that a run names: the key of its hash, the kind of plugin, the path."""
    for part in ("task", "model"):
        name, _ = named(run, part)
        if name.endswith(".py"):
            yield part, part, name
    for spec in mapping(run, "features").values():
        for encoder in Spec.parse_all(spec) if isinstance(spec, str) else ():
            if encoder.name.endswith(".py"):
                yield encoder.name, "featurizer", encoder.name


def _changed(run: Run, part: str, name: str) -> InputError:
    return InputError(
        f"The code of the {part} '{name}' has changed since the run '{run.id}' was trained, so the run cannot be "
        "continued or predict. Restore the file, or train again: that is another run."
    )


def check_code(run: Run, code: Mapping[str, str]) -> None:
    """Check that the files of the run's task and model are what they were.

    Args:
        run: the run.
        code: `task`, `model` and the files of encoders → the hash of the file now.

    Raises:
        InputError: a file has changed.
    """
    for name, recorded in mapping(run, "code").items():
        if code.get(name) != recorded:
            part = name if name in ("task", "model") else "featurizer"
            raise _changed(run, part, run.config[name]["name"] if part == name else name)


def part(run: Run, name: str, kind: Any, recorded: Mapping[str, Any] | None = None) -> Any:
    """A part of the recorded configuration, its values checked against the types of the settings.

    Args:
        run: the run.
        name: of the part.
        kind: dataclass of the part.
        recorded: its recorded settings; by default those under its name.

    Raises:
        InputError: a value is not allowed, or a setting without a default is missing.
    """
    renamed = RENAMED.get(name, {})
    given = mapping(run, name) if recorded is None else recorded
    values = {renamed.get(setting, setting): entry for setting, entry in given.items()}
    settings = {field.name: field for field in plugins.settings(kind)}
    for setting in sorted(values.keys() - settings.keys()):
        log.warning("The run '%s' has a setting that no longer exists and is ignored: %s.%s.", run.id, name, setting)
        del values[setting]
    missing = sorted(settings.keys() - values.keys())
    if name not in run.config:
        log.warning("The run '%s' has no settings of the %s; their defaults are used.", run.id, name)
        missing = []
    for setting in missing:
        log.warning("The run '%s' has no setting %s.%s; its default is used.", run.id, name, setting)
    # Defaults are not cast: an author's default may have a type that `cast` does not know.
    others = {setting: entry for setting, entry in values.items() if not _is_default(settings[setting], entry)}
    try:
        return plugins.configure(kind, others)
    except (GraphSocialError, TypeError, ValueError) as error:
        raise _misfit(run, name, error) from error


def _is_default(field: Field[Any], recorded: object) -> bool:
    """Whether a value read from JSON is a setting's default."""
    default = field.default if field.default_factory is MISSING else field.default_factory()
    return default is not MISSING and json.dumps(default, default=repr) == json.dumps(recorded)


def _unfit(run: Run, name: str, recorded: object) -> InputError:
    return _misfit(run, name, f"they are {json.dumps(recorded)}, where names with values are expected.")


def _misfit(run: Run, name: str, reason: object) -> InputError:
    return InputError(
        f"The run '{run.id}' was made by another version of graphsocial, and its settings of the {name} do not fit "
        f"this one: {reason} Train it again."
    )
