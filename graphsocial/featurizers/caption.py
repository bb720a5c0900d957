"""Images as captions: a sentence about each one, by an image-to-text model, and the sentence's vector."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from PIL import Image

from graphsocial._compat.torchvision import ensure_torchvision
from graphsocial.errors import FeatureError
from graphsocial.featurizers._classifiers import LITE, entry_of, read_weights, weights_file
from graphsocial.featurizers._hub import first_line, hash_model, load_pretrained, model_folder, stamp
from graphsocial.featurizers._images import read_images
from graphsocial.featurizers._settings import check_minimum
from graphsocial.featurizers.base import NO_EFFECT, Encoded, Modality, Requires, check_device, digest
from graphsocial.featurizers.faces import NAMES as FACE
from graphsocial.featurizers.faces import Faces
from graphsocial.featurizers.sentence import Sentence
from graphsocial.featurizers.vision import Vision

if TYPE_CHECKING:
    from torch import Tensor

TEMPLATED = "templated"
MARK = "[templated] "
"""What a description begins with that no captioning model wrote; it is no part of what the vector is made of."""
KINDS = ("blip", "blip-2", "git", "vision-encoder-decoder")
"""The model types whose `generate` needs an image and no prompt."""
_CLASSES = 3
_PRESENT, _COUNT, _FIRST = FACE.index("present"), FACE.index("count"), FACE.index("angry")


@dataclass(frozen=True)
class Caption:
    """The sentence vector of each image's caption; the store keeps the caption itself in the table `captions`.

    Attributes:
        model: `templated`, which needs no network: the names of the three classes that EfficientNet-Lite0 finds most
            likely, marked as `[templated]`; or a model of the type BLIP, BLIP-2, GIT or vision-encoder-decoder, as a
            folder written by `save_pretrained` or a name on the Hugging Face hub.
        text_model: what turns captions into vectors, as `sentence` takes it.
        faces: add to a templated description how many faces there are and what they seem to feel (see `faces`).
        most_tokens: where a model's caption ends at the latest.
        batch_size: images at a time.
        device: `cpu`, `cuda`, `cuda:1`, `mps`.

    A caption stands beside the image's content, never in a column of people's texts: `select id, caption from captions
    join feature_rows using (set_id, content) join node_image using (idx) where table_name = 'node_image'`.
    """

    model: str = TEMPLATED
    text_model: str = "packaged:minilm"
    faces: bool = False
    most_tokens: int = 40
    batch_size: int = field(default=16, metadata=NO_EFFECT)
    device: str = field(default="cpu", metadata=NO_EFFECT)

    modalities: ClassVar[tuple[Modality, ...]] = ("image",)
    requires: ClassVar[Requires] = Requires()
    sequences: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_minimum(self, 1, "batch_size", "most_tokens")

    @property
    def templated(self) -> bool:
        """Whether the captions are descriptions filled into a template."""
        return self.model == TEMPLATED

    @property
    def dimension(self) -> int:
        """D, that of the sentence vectors."""
        return self._sentence.dimension

    @property
    def _sentence(self) -> Sentence:
        return Sentence(self.text_model, device=self.device)

    def fingerprint(self) -> str:
        """See `graphsocial.featurizers.base.digest`; of a local folder its contents count, not its path.

        Raises:
            FeatureError: the model is not here and cannot be fetched.
        """
        if self.templated:
            weights = [Vision(device=self.device).fingerprint(), *([Faces().fingerprint()] if self.faces else [])]
        else:
            weights = [hash_model(self.model, model_folder(self.model))]
        return digest(
            self,
            weights=" ".join(["caption, 1", *weights, self._sentence.fingerprint()]),
            packages=("transformers", "tokenizers", "torch", "pillow"),
            leave_out=("text_model", *(() if self.templated else ("model",))),
        )

    def captions(self, items: Sequence[Path]) -> tuple[list[str], dict[int, str]]:
        """A caption per image file, empty for one that cannot be read; and why it cannot, by its index.

        Raises:
            FeatureError: the model is not here and cannot be fetched, or its files cannot be read.
        """
        texts: list[str] = []
        rejects: dict[int, str] = {}
        for start in range(0, len(items), self.batch_size):
            batch = items[start : start + self.batch_size]
            captions, refused = self._describe(batch) if self.templated else self._generate(batch)
            texts += captions
            rejects |= {start + row: reason for row, reason in refused.items()}
        return texts, rejects

    def encode(self, items: Sequence[Path]) -> Encoded:
        """Encode image files; returns (N, D) float32 and rejects files that are missing, damaged or no images.

        Raises:
            FeatureError: a model is not here and cannot be fetched, or its files cannot be read.
        """
        texts, rejects = self.captions(items)
        vectors = self._sentence.encode([text.removeprefix(MARK) for text in texts]).vectors
        return replace(Encoded.of(vectors, rejects), captions=texts)

    def _describe(self, items: Sequence[Path]) -> tuple[list[str], dict[int, str]]:
        seen = Vision(device=self.device).encode(items)
        weight, bias, names = _last_layer()
        order = np.argsort(-(seen.vectors @ weight.T + bias), axis=1, kind="stable")[:, :_CLASSES]
        texts = ["an image that may show " + " or ".join(names[index] for index in row) for row in order]
        if self.faces:
            texts = [text + _faces(vector) for text, vector in zip(texts, Faces().encode(items).vectors, strict=True)]
        return ["" if row in seen.rejects else MARK + text for row, text in enumerate(texts)], seen.rejects

    def _generate(self, items: Sequence[Path]) -> tuple[list[str], dict[int, str]]:
        folder = model_folder(self.model)
        loaded = _load(folder, stamp(folder), self.device)
        images = read_images(items, loaded.prepare)
        rejects = {row: image for row, image in enumerate(images) if isinstance(image, str)}
        good = [image for image in images if not isinstance(image, str)]
        texts = iter(loaded.run(good, self.most_tokens) if good else [])
        return ["" if row in rejects else next(texts) for row in range(len(items))], rejects


def _faces(vector: np.ndarray[Any, np.dtype[np.float32]]) -> str:
    if not vector[_PRESENT]:
        return ", with no face"
    emotion = FACE[_FIRST + int(vector[_FIRST:-1].argmax())]
    count = int(vector[_COUNT])
    return f", with {count} face{'s' if count > 1 else ''} that may be {emotion}"


@lru_cache(maxsize=1)
def _last_layer() -> tuple[Any, Any, list[str]]:
    """What comes after the vectors of `vision`: weights (1000, 1280) and bias (1000,), and the classes' names."""
    state = read_weights(weights_file(LITE, None))
    return state["_fc.weight"].numpy(), state["_fc.bias"].numpy(), entry_of("resnet50", None).meta["categories"]


@dataclass(frozen=True)
class _Loaded:
    """A model with its tokenizer and its image processor, as transformers reads them."""

    model: Any
    tokenizer: Any
    processor: Any

    def prepare(self, image: Image.Image) -> Tensor:
        """(3, H, W), as the model was trained."""
        prepared: Tensor = self.processor(images=image, return_tensors="pt")["pixel_values"][0]
        return prepared

    def run(self, images: list[Tensor], most_tokens: int) -> list[str]:
        """The most likely words one by one, without sampling."""
        import torch

        with torch.inference_mode():
            tokens = self.model.generate(
                pixel_values=torch.stack(images).to(self.model.device),
                max_new_tokens=most_tokens,
                do_sample=False,
                num_beams=1,
            )
        return [text.strip() for text in self.tokenizer.batch_decode(tokens, skip_special_tokens=True)]


@lru_cache(maxsize=1)
def _load(folder: Path, stamp: str, device: str) -> _Loaded:
    """The model in a folder; `stamp` makes sure that a folder written anew is read anew."""
    check_device(device)
    try:
        kind = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type")
    except (OSError, ValueError) as error:
        raise FeatureError(f"'{folder}' has no config.json that can be read ({first_line(error)}).") from error
    if kind not in KINDS:
        raise FeatureError(f"The model in '{folder}' is of the type {kind!r}; 'caption' reads {', '.join(KINDS)}.")
    ensure_torchvision()
    from transformers import AutoModelForImageTextToText

    model, tokenizer, processor = load_pretrained(
        folder, AutoModelForImageTextToText, "captioning model", "the model, its tokenizer and its image processor"
    )
    return _Loaded(model.to(device), tokenizer, processor)
