"""What the contract test needs to know of each featurizer: a new one joins by an entry in `CASES`."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from graphsocial.featurizers.base import Encoded, Featurizer, FittedFeaturizer
from graphsocial.plugins import resolve

DETECTOR = "fasterrcnn_mobilenet_v3_large_320_fpn"


@dataclass(frozen=True)
class Case:
    """One featurizer, small enough for a test.

    Attributes:
        items: writes files into a folder if need be, and gives at least four good items of different content.
        make: builds the featurizer, given its class and a folder that tiny weights can be written to.
        corrupt: writes a file that must be rejected; None where nothing can be wrong with an item.
        reason: what the rejection says, in part.
        tolerance: how far an item's numbers may be from those it gets in another batch.
    """

    items: Callable[[Path], list[Any]]
    make: Callable[[type[Any], Path], Featurizer | FittedFeaturizer] = lambda cls, folder: cls()
    corrupt: Callable[[Path], Path] | None = None
    reason: str = ""
    tolerance: float = 1e-5


def texts(folder: Path) -> list[Any]:
    """Short, long, not English, not quite Unicode."""
    return ["What a lovely sunset!", "我非常喜欢这部电影 🎉", "a � or two", "long " * 60, "no."]


def tagged(folder: Path) -> list[Any]:
    """Texts with hashtags; the last one has none that the others have."""
    return ["#sea #Sun today", "no tag, #sun", "#sea and #sand", "#sand #sun #sea", "#sand", "#snow"]


def images(folder: Path) -> list[Any]:
    """Readable images of different content, size and mode."""
    noise = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    picture = Image.fromarray(noise)
    made = {
        "plain.png": picture,
        "photo.jpg": picture.resize((130, 100)),
        "grey.png": picture.convert("L"),
        "palette.gif": picture.convert("P"),
        "line.png": picture.resize((2000, 1)),
    }
    for name, image in made.items():
        image.save(folder / name)
    return [folder / name for name in made]


def broken_image(folder: Path) -> Path:
    """The beginning of a PNG."""
    path = folder / "broken.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    return path


def rows(folder: Path) -> list[Any]:
    """Rows of a table; the last one knows little."""
    noon = datetime(2016, 5, 20, 12, tzinfo=timezone.utc)
    return [
        {"age": 20.0, "likes": 3, "city": "Oslo", "member": True, "joined": noon},
        {"age": 31.5, "likes": 0, "city": "Lima", "member": False, "joined": noon.replace(hour=23)},
        {"age": 44.0, "likes": 900, "city": "Oslo", "member": True, "joined": noon.replace(month=12)},
        {"age": None, "likes": None, "city": None, "member": None, "joined": None},
    ]


def skimage_file(name: str) -> Path:
    """A picture that scikit-image ships; `astronaut.png` shows one face, `coffee.png` none."""
    spec = importlib.util.find_spec("skimage")
    assert spec and spec.origin, "scikit-image, of the extra 'dev', is not installed"
    return Path(spec.origin).parent / "data" / name


def portraits(folder: Path) -> list[Any]:
    """One face, the same from nearer and in a mirror, two faces, and none."""
    with Image.open(skimage_file("astronaut.png")) as file:
        person = file.convert("RGB")
    near = person.crop((120, 20, 330, 230))
    two = Image.new("RGB", (420, 210))
    two.paste(near, (0, 0))
    two.paste(ImageOps.mirror(near), (210, 0))
    made = {"person.png": person, "near.png": near, "mirror.jpg": ImageOps.mirror(person), "two.png": two}
    for name, image in made.items():
        image.save(folder / name)
    return [*(folder / name for name in made), skimage_file("coffee.png")]


def tiny_encoder(folder: Path, architecture: str = "Bert", layers: int = 2) -> str:
    """A transformer of random weights over four words, 16 numbers a token, saved as transformers saves one."""
    from graphsocial._compat.torchvision import ensure_torchvision

    ensure_torchvision()
    import torch
    import transformers

    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", "day", "night"]
    transformers.BertTokenizerFast(vocab={word: code for code, word in enumerate(vocabulary)}).save_pretrained(folder)
    wide = {"hidden_size": 16, "num_hidden_layers": layers, "num_attention_heads": 2, "intermediate_size": 16}
    if architecture == "DistilBert":
        wide = {"dim": 16, "n_layers": layers, "n_heads": 2, "hidden_dim": 16}
    config = getattr(transformers, f"{architecture}Config")(
        vocab_size=len(vocabulary), max_position_embeddings=80, pad_token_id=0, **wide
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        getattr(transformers, f"{architecture}Model")(config).save_pretrained(folder)
    return str(folder)


def tiny_decoder(folder: Path, architecture: str = "Llama", layers: int = 3) -> str:
    """A language model of random weights over bytes, 16 numbers a token, saved as transformers saves one."""
    from graphsocial._compat.torchvision import ensure_torchvision
    from graphsocial.featurizers._hub import quiet

    ensure_torchvision()
    import torch
    import transformers
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    letters = ["<s>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokenizer = Tokenizer(models.BPE({letter: code for code, letter in enumerate(letters)}, []))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>").save_pretrained(folder)
    wide = {"hidden_size": 16, "num_hidden_layers": layers, "num_attention_heads": 2, "intermediate_size": 32}
    if architecture == "GPT2":
        wide = {"n_embd": 16, "n_layer": layers, "n_head": 2, "n_positions": 512}
    else:
        wide |= {"num_key_value_heads": 1, "head_dim": 8, "max_position_embeddings": 512}
    config = getattr(transformers, f"{architecture}Config")(
        vocab_size=len(letters), bos_token_id=0, initializer_range=0.3, **wide
    )
    with torch.random.fork_rng(devices=[]), quiet():
        torch.manual_seed(0)
        getattr(transformers, f"{architecture}Model")(config).save_pretrained(folder)
    return str(folder)


def tiny_clip(folder: Path) -> str:
    """A CLIP model of random weights, saved as transformers saves one: 16-d, 32 px, its alphabet for a vocabulary."""
    from graphsocial._compat.torchvision import ensure_torchvision
    from graphsocial.featurizers._hub import quiet

    ensure_torchvision()
    import torch
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPTokenizer

    letters = sorted(ByteLevel.alphabet())
    tokens = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    start, end = len(tokens) - 2, len(tokens) - 1
    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = {**small, "vocab_size": len(tokens), "bos_token_id": start, "eos_token_id": end, "pad_token_id": end}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        vision = {**small, "image_size": 32, "patch_size": 8}
        model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=16))
    with quiet():
        model.save_pretrained(folder)
    CLIPTokenizer(vocab={token: place for place, token in enumerate(tokens)}, merges=[]).save_pretrained(folder)
    CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}).save_pretrained(folder)
    return str(folder)


def sounds(folder: Path) -> list[Any]:
    """Tones, noise, silence and two channels, of different rates and formats."""
    import soundfile

    random = np.random.default_rng(0)
    tone = 0.3 * np.sin(2 * np.pi * 220 * np.arange(16_000) / 16_000)
    made = {
        "tone.wav": (tone, 16_000),
        "noise.flac": (random.normal(0, 0.1, 22_050), 44_100),
        "silence.wav": (np.zeros(8_000), 16_000),
        "stereo.ogg": (np.stack([tone, random.normal(0, 0.1, 16_000)], 1), 22_050),
    }
    for name, (signal, rate) in made.items():
        soundfile.write(folder / name, signal, rate)
    return [folder / name for name in made]


def broken_sound(folder: Path) -> Path:
    """The beginning of a WAV file."""
    path = folder / "broken.wav"
    path.write_bytes(b"RIFF\x24\x00\x00\x00WAVEfmt ")
    return path


def write_clip(path: Path, frames: Iterable[np.ndarray], *, rate: float = 10, size: tuple[int, int] = (96, 64)) -> Path:
    """A clip (.avi) of exactly these frames, (height, width, 3) RGB; the codec loses nothing."""
    import cv2

    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"FFV1"), rate, size)
    for frame in frames:
        writer.write(frame[:, :, ::-1])
    writer.release()
    return path


def clips(folder: Path) -> list[Any]:
    """Clips of 1 to 25 frames: noise, and a colour that changes."""
    random = np.random.default_rng(0)
    made = []
    for place, length in enumerate((1, 5, 12, 25)):
        noise = random.integers(0, 256, (length, 64, 96, 3), dtype=np.uint8)
        noise[:, :, :48] = (np.linspace(0, 255, length)[:, None, None, None] * (1, 0.5, place / 4)).astype(np.uint8)
        made.append(write_clip(folder / f"clip{place}.avi", noise))
    return made


def broken_clip(folder: Path) -> Path:
    """Bytes that are no clip."""
    path = folder / "broken.avi"
    path.write_bytes(b"no clip at all" * 10)
    return path


def tiny_captioner(folder: Path) -> str:
    """A GIT model, saved as transformers saves one, that writes "a dog runs" of anything: each word calls the next."""
    from graphsocial._compat.torchvision import ensure_torchvision

    ensure_torchvision()
    import torch
    from transformers import BertTokenizer, CLIPImageProcessor, GitConfig, GitForCausalLM

    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "dog", "runs"]
    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    ends = {"bos_token_id": 2, "eos_token_id": 3, "pad_token_id": 0}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        vision = {**small, "image_size": 32, "patch_size": 16}
        model = GitForCausalLM(
            GitConfig(vision_config=vision, vocab_size=len(tokens), max_position_embeddings=64, **small, **ends)
        )
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if ".encoder.layer." in name and ".output.dense" in name:
                weight.zero_()  # the layer passes on what it gets: the word before
        words = model.git.embeddings.word_embeddings.weight
        model.git.embeddings.position_embeddings.weight.zero_()
        words.copy_(torch.eye(len(tokens), 16))
        model.output.weight.zero_()
        model.output.bias.zero_()
        for word, following in [(2, 5), (5, 6), (6, 7), (7, 3)]:
            model.output.weight[following, word] = 1
    model.save_pretrained(folder)
    BertTokenizer(vocab={token: place for place, token in enumerate(tokens)}).save_pretrained(folder)
    CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}).save_pretrained(folder)
    return str(folder)


def tiny_detector(folder: Path) -> str:
    """The smallest Faster R-CNN, of random weights, for 4 classes."""
    from graphsocial._compat.torchvision import ensure_torchvision

    ensure_torchvision()
    import torch
    from safetensors.torch import save_file
    from torchvision.models import get_model

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = get_model(DETECTOR, weights=None, weights_backbone=None, num_classes=4)
        for layer in network.roi_heads.box_predictor.children():
            torch.nn.init.normal_(layer.weight, std=0.5)  # else all boxes are of the background
    folder.mkdir(exist_ok=True)
    save_file(network.state_dict(), folder / "detector.safetensors")
    return str(folder)


CASES: dict[str, Case] = {
    "audio": Case(sounds, corrupt=broken_sound, reason="not a sound"),
    "audio, frames": Case(
        sounds, lambda cls, folder: cls(features="frames"), corrupt=broken_sound, reason="not a sound"
    ),
    "caption": Case(images, corrupt=broken_image, reason="not an image", tolerance=1e-4),
    "clip": Case(
        images, lambda cls, folder: cls(tiny_clip(folder / "clip")), corrupt=broken_image, reason="not an image"
    ),
    "faces": Case(portraits, corrupt=broken_image, reason="not an image"),
    "hash_text": Case(texts),
    "text_style": Case(texts),
    "dependencies": Case(texts),
    "hashtags": Case(tagged, lambda cls, folder: cls(dimension=8, epochs=2)),
    "metadata": Case(rows),
    "language_model": Case(texts, lambda cls, folder: cls(tiny_decoder(folder / "llama"))),
    "language_model, tokens": Case(texts, lambda cls, folder: cls(tiny_decoder(folder / "llama"), pooling="tokens")),
    "regions": Case(
        images,
        lambda cls, folder: cls(DETECTOR, tiny_detector(folder / "detector"), most=4),
        corrupt=broken_image,
        reason="not an image",
        tolerance=1e-4,
    ),
    "sentence": Case(texts),
    "sentence, tokens": Case(texts, lambda cls, folder: cls(pooling="tokens")),
    "sentiment": Case(texts),
    "static_vectors": Case(texts),
    "static_vectors, tokens": Case(texts, lambda cls, folder: cls(pooling="tokens")),
    "video": Case(clips, corrupt=broken_clip, reason="not a clip", tolerance=1e-4),
    "video, frames": Case(
        clips, lambda cls, folder: cls(output="frames"), corrupt=broken_clip, reason="not a clip", tolerance=1e-4
    ),
    "vision": Case(images, corrupt=broken_image, reason="not an image", tolerance=1e-4),
    "vision, map": Case(
        images, lambda cls, folder: cls(output="map"), corrupt=broken_image, reason="not an image", tolerance=1e-4
    ),
}
"""By the registered name; what stands after a comma tells further cases of one featurizer apart."""


def build(name: str, folder: Path) -> tuple[Featurizer | FittedFeaturizer, list[Any]]:
    """The featurizer of a case, not yet fitted if it learns, and its items."""
    case = CASES[name]
    cls = resolve("featurizer", name.partition(",")[0])
    return case.make(cls, folder), case.items(folder)


def ready(featurizer: Featurizer | FittedFeaturizer, items: list[Any]) -> Featurizer:
    """What encodes: the featurizer itself, or what it becomes by learning from all items but the last one."""
    return featurizer.fitted(featurizer.fit(items[:-1])) if isinstance(featurizer, FittedFeaturizer) else featurizer


def save(encoded: Encoded, fingerprint: str, path: Path) -> None:
    """For another process to compare with."""
    np.savez(path, values=encoded.vectors, offsets=encoded.sequences.offsets, fingerprint=fingerprint)


if __name__ == "__main__":  # python contract.py FOLDER NAME…: encode in a process of its own
    home = Path(sys.argv[1])
    for name in sys.argv[2:]:
        folder = home / name
        folder.mkdir()
        featurizer, items = build(name, folder)
        save(ready(featurizer, items).encode(items), featurizer.fingerprint(), home / f"{name}.npz")
