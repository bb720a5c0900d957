"""Images and texts as vectors of one space, where what is seen lies close to what describes it: CLIP."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from graphsocial._torchvision import ensure_torchvision
from graphsocial.errors import FeatureError, InputError
from graphsocial.featurizers._hub import hash_model, load_pretrained, model_folder, stamp
from graphsocial.featurizers._images import read_images
from graphsocial.featurizers.base import NO_EFFECT, Encoded, Modality, Requires, check_device, digest

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

KINDS = ("clip", "chinese_clip")
"""The `model_type` of models that are read; others prepare texts in other ways."""


@dataclass(frozen=True)
class Clip:
    """One vector per image or text, by Contrastive Language-Image Pre-training (https://arxiv.org/abs/2103.00020).

    Attributes:
        model: a name on the Hugging Face hub (`clip-ViT-B-32` of sentence-transformers,
            `openai/clip-vit-large-patch14`, `OFA-Sys/chinese-clip-vit-base-patch16`), downloaded once into the hub's
            cache, or a folder in which sentence-transformers or transformers has saved such a model.
        normalize: scale vectors to length 1, so that their product is the cosine CLIP was trained on.
        batch_size: images or texts at a time.
        device: `cpu`, `cuda`, `cuda:1`, `mps`.

    Texts longer than the model reads (77 tokens) are cut. Images are read as `vision` reads them.
    """

    model: str = "clip-ViT-B-32"
    normalize: bool = True
    batch_size: int = field(default=32, metadata=NO_EFFECT)
    device: str = field(default="cpu", metadata=NO_EFFECT)

    modalities: ClassVar[tuple[Modality, ...]] = ("image", "text")
    requires: ClassVar[Requires] = Requires()
    sequences: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise InputError(f"batch_size must be at least 1, not {self.batch_size}.")

    @property
    def dimension(self) -> int:
        """D, as the model's configuration states it; nothing is downloaded to find out.

        Raises:
            FeatureError: the model is not on this machine (yet).
        """
        folder = _inner(model_folder(self.model, fetch=False))
        return int(_config(folder)["projection_dim"])

    def fingerprint(self) -> str:
        """See `graphsocial.featurizers.base.digest`; of a local folder its contents count, not its path.

        Raises:
            FeatureError: the model is not here and cannot be fetched.
        """
        return digest(
            self,
            weights=hash_model(self.model, model_folder(self.model)),
            packages=("transformers", "tokenizers", "torch", "pillow"),
            leave_out=("model",) if Path(self.model).expanduser().is_dir() else (),
        )

    def encode(self, items: Sequence[Path | str]) -> Encoded:
        """Encode images (`Path`) and texts (`str`), mixed as they come; returns (N, D) float32.

        Raises:
            FeatureError: the model is not here and cannot be fetched, or its files cannot be read.
        """
        folder = _inner(model_folder(self.model))
        vectors = np.zeros((len(items), _config(folder)["projection_dim"]), np.float32)
        rejects: dict[int, str] = {}
        if not len(items):
            return Encoded(vectors)
        loaded = _load(folder, stamp(folder), self.device)
        for start in range(0, len(items), self.batch_size):
            batch = list(enumerate(items[start : start + self.batch_size], start))
            texts = {row: item for row, item in batch if isinstance(item, str)}
            files = {row: item for row, item in batch if not isinstance(item, str)}
            images = dict(zip(files, read_images([*files.values()], loaded.prepare), strict=True))
            rejects |= {row: image for row, image in images.items() if isinstance(image, str)}
            seen = {row: image for row, image in images.items() if not isinstance(image, str)}
            if texts:
                vectors[[*texts]] = loaded.texts([*texts.values()])
            if seen:
                vectors[[*seen]] = loaded.images([*seen.values()])
        if self.normalize:
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True).clip(1e-12)
        return Encoded.of(vectors, rejects)


@dataclass(frozen=True)
class _Loaded:
    """A model with its tokenizer and its image processor, as transformers reads them."""

    model: Any
    tokenizer: Any
    processor: Any
    longest: int

    def prepare(self, image: Image.Image) -> Tensor:
        """(3, H, W), resized, cropped and scaled as the model was trained."""
        prepared: Tensor = self.processor(images=image, return_tensors="pt")["pixel_values"][0]
        return prepared

    def images(self, images: list[Tensor]) -> NDArray[np.float32]:
        """(B, D)."""
        import torch

        with torch.inference_mode():
            return _numbers(self.model.get_image_features(torch.stack(images).to(self.model.device)))

    def texts(self, texts: list[str]) -> NDArray[np.float32]:
        """(B, D)."""
        import torch

        texts = [text.encode("utf-8", "replace").decode() for text in texts]  # the tokenizer refuses lone surrogates
        tokens = self.tokenizer(texts, padding=True, truncation=True, max_length=self.longest, return_tensors="pt")
        with torch.inference_mode():
            return _numbers(self.model.get_text_features(**tokens.to(self.model.device)))


def _numbers(answer: Any) -> NDArray[np.float32]:
    found: NDArray[np.float32] = answer.pooler_output.float().cpu().numpy()
    return found


@lru_cache(maxsize=2)
def _load(folder: Path, stamp: str, device: str) -> _Loaded:
    """The model in a folder; `stamp` makes sure that a folder written anew is read anew."""
    check_device(device)
    ensure_torchvision()
    from transformers import AutoModel

    longest = int(_config(folder)["text_config"].get("max_position_embeddings", 77))
    model, tokenizer, processor = load_pretrained(folder, AutoModel, "CLIP model", "CLIPModel and CLIPProcessor")
    return _Loaded(model.to(device), tokenizer, processor, longest)


def _inner(folder: Path) -> Path:
    """Where transformers' files are: sentence-transformers saves them in the folder of its first module."""
    if (folder / "config.json").is_file():
        return folder
    return folder / str(_json(folder / "modules.json")[0]["path"])


def _config(folder: Path) -> dict[str, Any]:
    config = _json(folder / "config.json")
    if config.get("model_type") not in KINDS:
        raise FeatureError(
            f"The model in '{folder}' is of the type {config.get('model_type')!r}; 'clip' reads {' and '.join(KINDS)}."
        )
    return {"text_config": {}, "projection_dim": 512, **config}  # configurations may leave out what is the default


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FeatureError(f"'{path}' cannot be read ({error}); the model's folder is damaged.") from error
