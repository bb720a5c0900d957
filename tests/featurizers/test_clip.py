"""Images and texts in one space, through files that transformers and sentence-transformers write."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from contract import images as pictures
from contract import texts, tiny_clip
from PIL import Image

from graphsocial._compat.torchvision import ensure_torchvision
from graphsocial.errors import FeatureError, MissingFileError
from graphsocial.featurizers._hub import quiet
from graphsocial.featurizers.clip import Clip


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(tiny_clip(tmp_path_factory.mktemp("tiny")))


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return pictures(tmp_path_factory.mktemp("images"))


def test_the_vectors_are_those_of_the_model_itself(tiny: Path, images: list[Path]) -> None:
    """Its own forward pass gives the same vectors, for images and for texts, mixed as they come."""
    import torch
    from transformers import CLIPModel, CLIPProcessor

    model, processor = CLIPModel.from_pretrained(tiny), CLIPProcessor.from_pretrained(tiny, backend="pil")
    words = ["A sunset.", "a very, very long talk about nothing"]
    inputs = processor(text=words, images=[Image.open(path) for path in images[:2]], padding=True, return_tensors="pt")
    with torch.inference_mode():
        out = model(**inputs)
    encoded = Clip(str(tiny)).encode([words[0], images[0], images[1], words[1]]).vectors
    assert np.abs(encoded[[0, 3]] - out.text_embeds.numpy()).max() < 1e-5
    assert np.abs(encoded[[1, 2]] - out.image_embeds.numpy()).max() < 1e-5
    raw = Clip(str(tiny), normalize=False).encode(images[:2]).vectors
    assert np.abs(raw / np.linalg.norm(raw, axis=1, keepdims=True) - encoded[1:3]).max() < 1e-5
    assert np.abs(np.linalg.norm(raw, axis=1) - 1).min() > 1e-3


def test_texts_keep_the_contract(tiny: Path, tmp_path: Path) -> None:
    words = [*texts(tmp_path), "", "a \ud800 lone surrogate"]
    encoded = Clip(str(tiny)).encode(words)
    assert encoded.rejects == {} and encoded.vectors.shape == (7, 16) and len(np.unique(encoded.vectors, axis=0)) == 7
    alone = np.concatenate([Clip(str(tiny), batch_size=1).encode([word]).vectors for word in words])
    assert np.abs(alone - encoded.vectors).max() < 1e-5


def test_a_folder_of_sentence_transformers(tiny: Path, images: list[Path], tmp_path: Path) -> None:
    shutil.copytree(tiny, tmp_path / "0_CLIPModel")
    kind = "sentence_transformers.models.CLIPModel"
    modules = [{"idx": 0, "name": "0", "path": "0_CLIPModel", "type": kind}]
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    assert (Clip(str(tmp_path)).encode(images).vectors == Clip(str(tiny)).encode(images).vectors).all()


def test_the_contents_of_the_folder_count(tiny: Path, images: list[Path], tmp_path: Path) -> None:
    copy = shutil.copytree(tiny, tmp_path / "copy")
    assert Clip(str(copy)).fingerprint() == Clip(str(tiny)).fingerprint()
    assert (Clip(str(copy)).encode(images).vectors == Clip(str(tiny)).encode(images).vectors).all()
    settings = json.loads((copy / "preprocessor_config.json").read_text())
    (copy / "preprocessor_config.json").write_text(json.dumps({**settings, "image_mean": [0.0, 0.0, 0.0]}))
    assert Clip(str(copy)).fingerprint() != Clip(str(tiny)).fingerprint()
    assert not np.allclose(Clip(str(copy)).encode(images).vectors, Clip(str(tiny)).encode(images).vectors, atol=1e-3)


def test_a_missing_model_is_an_error(tiny: Path, images: list[Path], tmp_path: Path) -> None:
    with pytest.raises(FeatureError, match=r"'openai/none' cannot be had \(.*HF_HUB_OFFLINE is set\).*model=FOLDER"):
        Clip("openai/none").fingerprint()
    with pytest.raises(MissingFileError, match=r"There is no folder './none'"):
        Clip("./none").encode(images)
    with pytest.raises(FeatureError, match="holds no model"):
        Clip(str(tmp_path)).dimension  # noqa: B018
    bert = tmp_path / "bert"
    bert.mkdir()
    (bert / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(FeatureError, match=r"of the type 'bert'; 'clip' reads clip and chinese_clip"):
        Clip(str(bert)).dimension  # noqa: B018
    half = shutil.copytree(tiny, tmp_path / "half")
    (half / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(FeatureError, match=r"cannot be loaded \("):
        Clip(str(half)).encode(images)


def test_weights_that_are_missing_are_not_made_up(tiny: Path, images: list[Path], tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    copy = shutil.copytree(tiny, tmp_path / "copy")
    state = load_file(copy / "model.safetensors")
    del state["visual_projection.weight"]
    save_file(state, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(FeatureError, match=r"lacks 1 of its weights, such as visual_projection\.weight"):
        Clip(str(copy)).encode(images)


def test_a_hub_that_cannot_be_reached(tmp_path: Path) -> None:
    script = """
from graphsocial.errors import FeatureError
from graphsocial.featurizers.clip import Clip
import socket
connect = socket.socket.connect
socket.socket.connect = None  # asking for the dimension must not even try
try:
    Clip("openai/clip-vit-base-patch32").dimension
except FeatureError as error:
    assert "is not on this machine" in str(error), error
socket.socket.connect = connect
try:
    Clip("openai/clip-vit-base-patch32").fingerprint()
except FeatureError as error:
    assert "cannot be had" in str(error) and "HF_HUB_OFFLINE is set" not in str(error), error
    print("said so")
"""
    nowhere = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, **nowhere}, capture_output=True, text=True, check=False
    )
    assert done.stdout == "said so\n", done.stderr


def test_chinese_clip_reads_its_own_vocabulary(images: list[Path], tmp_path: Path) -> None:
    """Its text tower is a BERT, whose first token's state is projected; the model's own forward pass agrees."""
    ensure_torchvision()
    import torch
    from transformers import BertTokenizer, ChineseCLIPConfig, ChineseCLIPImageProcessor, ChineseCLIPModel

    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"我喜欢这只猫狗"]
    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    with torch.random.fork_rng(devices=[]), quiet():
        torch.manual_seed(0)
        config = ChineseCLIPConfig(
            text_config={**small, "vocab_size": len(tokens), "max_position_embeddings": 16},
            vision_config={**small, "image_size": 32, "patch_size": 8},
            projection_dim=16,
        )
        model = ChineseCLIPModel(config).eval()
        model.save_pretrained(tmp_path)
    BertTokenizer(vocab={token: place for place, token in enumerate(tokens)}).save_pretrained(tmp_path)
    size = {"height": 32, "width": 32}
    ChineseCLIPImageProcessor(size=size, crop_size=size).save_pretrained(tmp_path)
    encoded = Clip(str(tmp_path)).encode(["我喜欢这只猫", images[0], "狗", "猫" * 40]).vectors
    tokenizer = BertTokenizer.from_pretrained(tmp_path)
    with torch.inference_mode():
        states = model.text_model(**tokenizer(["我喜欢这只猫"], return_tensors="pt")).last_hidden_state[:, 0]
        expected = torch.nn.functional.normalize(model.text_projection(states))[0].numpy()
    assert np.abs(encoded[0] - expected).max() < 1e-5 and len(np.unique(encoded, axis=0)) == 4
