"""Encoders by their specs: `sentence`, `vision:resnet50`, `sentence,pooling=tokens`, `./my_encoder.py`."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path

from graphsocial.errors import InputError, UnknownNameError
from graphsocial.features.contract import check_featurizer
from graphsocial.featurizers.base import Featurizer, FittedFeaturizer
from graphsocial.plugins import configure, names, resolve
from graphsocial.specs import Spec

DEFAULT_ENCODERS = {"text": "sentence", "image": "vision", "audio": "audio", "video": "video"}


def encoder_for(
    spec: str | Featurizer | FittedFeaturizer | None, kind: str, settings: Mapping[str, object] | None = None
) -> Featurizer | FittedFeaturizer:
    """The encoder that a spec names.

    Args:
        spec: `vision`, `vision:resnet50` (featurizer, model), or a model alone (`resnet50`, `path/to/folder`) for the
            kind's default featurizer, each with settings or without (`sentence,pooling=tokens`); an encoder is
            returned as it is. None is the kind's default.
        kind: of the column: `text`, `image`, `audio` or `video`; `table` for a whole row.
        settings: the featurizer's fields, which win over those of the spec.

    Raises:
        InputError: the encoder reads another kind of content, or none was named and the kind has no default.
        UnknownNameError: no featurizer has that name.
    """
    encoder = named_encoder(spec, settings)
    if encoder is None:
        if kind not in DEFAULT_ENCODERS:
            raise InputError(f"No encoder reads {kind} by default; name one, see 'graphsocial list featurizers'.")
        model = Spec.parse(spec) if isinstance(spec, str) else Spec("")
        encoder = _configured(DEFAULT_ENCODERS[kind], model.text, {**model.settings, **(settings or {})})
    if kind not in encoder.modalities:
        raise InputError(
            f"{type(encoder).__name__} encodes {' and '.join(encoder.modalities)}, but the column holds {kind}."
        )
    return encoder


def named_encoder(
    spec: str | Featurizer | FittedFeaturizer | None, settings: Mapping[str, object] | None = None
) -> Featurizer | FittedFeaturizer | None:
    """The encoder itself, or the one that a spec names; None where it names a model alone, or nothing.

    Args:
        spec, settings: as in `encoder_for`.

    Raises:
        InputError: settings were given for an encoder that is configured already.
        UnknownNameError: the name is nearly a featurizer's.
        FeatureError: it is no featurizer.
    """
    if spec is None:
        return None
    if not isinstance(spec, str):
        if settings:
            raise InputError(f"{type(spec).__name__} is configured already; leave out {', '.join(settings)}.")
        check_featurizer(spec)
        return spec
    parsed, known = Spec.parse(spec), names("featurizer")
    if parsed.name.replace("-", "_") in known or parsed.name.endswith(".py"):
        return _configured(parsed.name, parsed.argument, {**parsed.settings, **(settings or {})})
    if get_close_matches(parsed.name, known, cutoff=0.75) and not Path(parsed.text).expanduser().exists():
        raise UnknownNameError.of("featurizer", parsed.name, known, listing="graphsocial list featurizers")
    return None


def _configured(name: str, model: str, settings: Mapping[str, object]) -> Featurizer | FittedFeaturizer:
    kind = resolve("featurizer", name)
    encoder: Featurizer | FittedFeaturizer = configure(kind, {**settings, **({"model": model} if model else {})})
    check_featurizer(encoder)
    return encoder


def describe(encoder: Featurizer | FittedFeaturizer) -> str:
    """`vision:resnet50`, or the class's name alone where it has no model."""
    model = getattr(encoder, "model", None)
    name = "".join("_" + c.lower() if c.isupper() else c for c in type(encoder).__name__).lstrip("_")
    return f"{name}:{model}" if model else name
