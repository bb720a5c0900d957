"""Images and texts as vectors of one space, where what is seen lies close to what describes it: CLIP."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from graphsocial._compat.torchvision import ensure_torchvision
from graphsocial.errors import FeatureError, InputError
from graphsocial.featurizers._hub import digest_model, load_pretrained, model_folder, stamp
from graphsocial.featurizers._images import read_images
from graphsocial.featurizers._settings import check_minimum
from graphsocial.featurizers.base import NO_EFFECT, Encoded, Modality, Requires, check_device

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

    from graphsocial.featurizers._upper_layers import UpperLayers

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
        tune: leave the last so many layers of a tower to a network that trains them with itself: an item is then the
            sequence of its tokens' or patches' states below these layers, which stay as they are. 0 trains none.
        tower: with `tune`, which tower: `text` or `image`; each has states of its own width.
        batch_size: images or texts at a time.
        device: `cpu`, `cuda`, `cuda:1`, `mps`.

    Texts longer than the model reads (77 tokens) are cut. Images are read as `vision` reads them.
    """

    model: str = "clip-ViT-B-32"
    normalize: bool = True
    tune: int = 0
    tower: Literal["both", "text", "image"] = "both"
    batch_size: int = field(default=32, metadata=NO_EFFECT)
    device: str = field(default="cpu", metadata=NO_EFFECT)

    modalities: ClassVar[tuple[Modality, ...]] = ("image", "text")
    requires: ClassVar[Requires] = Requires()

    def __post_init__(self) -> None:
        if self.tower not in ("both", "text", "image"):
            raise InputError(f"tower is 'both', 'text' or 'image', not '{self.tower}'.")
        if self.tune < 0 or bool(self.tune) != (self.tower != "both"):
            raise InputError(
                f"tune = {self.tune} with tower = '{self.tower}': name the tower whose layers are trained, such as "
                "clip,tune=2,tower=text, and none where none are."
            )
        check_minimum(self, 1, "batch_size")

    @property
    def sequences(self) -> bool:
        """Whether an item becomes a sequence of states."""
        return self.tune > 0

    @property
    def dimension(self) -> int:
        """D, as the model's configuration states it; nothing is downloaded to find out.

        Raises:
            FeatureError: the model is not on this machine (yet).
        """
        folder = _inner(model_folder(self.model, fetch=False))
        config = _config(folder)
        if self.tune:
            widths = {"text": 512, "image": 768}  # what configurations leave out
            return int(
                config[{"text": "text_config", "image": "vision_config"}[self.tower]].get(
                    "hidden_size", widths[self.tower]
                )
            )
        return int(config["projection_dim"])

    def fingerprint(self) -> str:
        """See `graphsocial.featurizers.base.digest`; of a local folder its contents count, not its path.

        Raises:
            FeatureError: the model is not here and cannot be fetched.
        """
        return digest_model(self, model_folder(self.model), ("transformers", "tokenizers", "torch", "pillow"))

    def encode(self, items: Sequence[Path | str]) -> Encoded:
        """Encode images (`Path`) and texts (`str`), mixed as they come; returns (N, D) float32.

        Raises:
            FeatureError: the model is not here and cannot be fetched, or its files cannot be read.
        """
        if self.tune:
            return self._states(items)
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

    def module(self) -> UpperLayers:
        """The last `tune` layers of the tower and its projection, as they were pretrained, for a network to train.

        Raises:
            FeatureError: the layers cannot be run on their own.
        """
        import torch

        from graphsocial.featurizers._upper_layers import Projected, UpperLayers, check_same, layers_of

        loaded = self._loaded()
        model, tower = loaded.model, loaded.tower(self.tower)
        text, causal = self.tower == "text", hasattr(tower, "final_layer_norm")
        norm = getattr(tower, "final_layer_norm" if text else "post_layernorm", torch.nn.Identity())
        projection = model.text_projection if text else model.visual_projection
        read_out = Projected(norm, projection, last=causal)
        upper = UpperLayers(
            layers_of(tower, self.tune), read_out, self.dimension, int(model.config.projection_dim), causal=causal
        )
        if text:
            probe: Any = ["any text, and", "another one that is longer"]
            expected = loaded.texts(probe)
        else:
            side = int(tower.config.image_size)
            probe = [torch.linspace(-1, 1, 3 * side * side).view(3, side, side) * sign for sign in (1, -1)]
            expected = loaded.images(probe)
        states, mask = loaded.states(self.tower, probe, self.tune)
        check_same(upper, states, mask, torch.from_numpy(expected), f"'{self.model}'")
        return upper

    def _loaded(self) -> _Loaded:
        folder = _inner(model_folder(self.model))
        return _load(folder, stamp(folder), self.device)

    def _states(self, items: Sequence[Path | str]) -> Encoded:
        """What goes into the layers that are trained, item by item."""
        if any(isinstance(item, str) != (self.tower == "text") for item in items):
            raise InputError(
                f"clip with tower = '{self.tower}' reads nothing else; name the other tower for this column."
            )
        loaded, rejects = self._loaded(), dict[int, str]()
        parts = [np.zeros((0, self.dimension), np.float32) for _ in items]
        for start in range(0, len(items), self.batch_size):
            rows = range(start, min(start + self.batch_size, len(items)))
            given: dict[int, Any] = {row: items[row] for row in rows}
            if self.tower == "image":
                given = dict(zip(rows, read_images([Path(items[row]) for row in rows], loaded.prepare), strict=True))
                rejects |= {row: image for row, image in given.items() if isinstance(image, str)}
                given = {row: image for row, image in given.items() if not isinstance(image, str)}
            if given:
                states, mask = loaded.states(self.tower, [*given.values()], self.tune)
                for row, x, present in zip(given, states, mask, strict=True):
                    parts[row] = x[present].float().cpu().numpy()
        return Encoded.of_sequences(parts, self.dimension, rejects)


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

    def tower(self, name: str) -> Any:
        """The model of texts or that of images."""
        return self.model.text_model if name == "text" else self.model.vision_model

    def states(self, tower: str, items: list[Any], above: int) -> tuple[Tensor, Tensor]:
        """(B, T, D) the states under the last `above` layers of a tower, and (B, T) bool, which of them are there."""
        import torch

        from graphsocial.featurizers._upper_layers import states_under

        what = f"the {tower} tower"
        with torch.inference_mode():
            if tower == "text":
                given = self._tokens(items)
                hidden_states = self.tower(tower)(**given, output_hidden_states=True).hidden_states
                return states_under(hidden_states, above, what), given["attention_mask"].bool()
            pixels = torch.stack(items).to(self.model.device)
            hidden_states = self.tower(tower)(pixels, output_hidden_states=True).hidden_states
            states = states_under(hidden_states, above, what)
            return states, torch.ones(states.shape[:2], dtype=torch.bool)

    def _tokens(self, texts: list[str]) -> Any:
        texts = [text.encode("utf-8", "replace").decode() for text in texts]  # the tokenizer refuses lone surrogates
        tokens = self.tokenizer(texts, padding=True, truncation=True, max_length=self.longest, return_tensors="pt")
        return tokens.to(self.model.device)

    def images(self, images: list[Tensor]) -> NDArray[np.float32]:
        """(B, D)."""
        import torch

        with torch.inference_mode():
            return _numbers(self.model.get_image_features(torch.stack(images).to(self.model.device)))

    def texts(self, texts: list[str]) -> NDArray[np.float32]:
        """(B, D)."""
        import torch

        with torch.inference_mode():
            return _numbers(self.model.get_text_features(**self._tokens(texts)))


def _numbers(output: Any) -> NDArray[np.float32]:
    vectors: NDArray[np.float32] = output.pooler_output.float().cpu().numpy()
    return vectors


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
