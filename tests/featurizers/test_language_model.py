"""Language models read a text after those before it, in one pass for texts that begin alike."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import contract
import numpy as np
import pytest

import graphsocial as gs
from graphsocial.errors import FeatureError, InputError, UnknownNameError
from graphsocial.featurizers import _packed_gguf, language_model
from graphsocial.featurizers.base import Requires
from graphsocial.featurizers.language_model import LanguageModel

TALK = ["Hello there.", "Oh no!", "What is it?", "Oh no!"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return contract.tiny_decoder(tmp_path_factory.mktemp("models") / "llama")


def so_far(texts: list[str]) -> list[list[str]]:
    return [texts[: n + 1] for n in range(len(texts))]


@pytest.mark.parametrize("architecture", ["Llama", "GPT2", "Gemma3Text", "Qwen3"])
def test_vectors_are_what_the_model_itself_gives(architecture: str, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModel, AutoTokenizer

    made = LanguageModel(contract.tiny_decoder(tmp_path / "model", architecture, layers=4), layer=2)
    model, tokenizer = AutoModel.from_pretrained(made.model), AutoTokenizer.from_pretrained(made.model)
    ids = [0, *tokenizer("- Hello there.\n- Oh no!\n", add_special_tokens=False)["input_ids"]]
    with torch.inference_mode():
        states = model(torch.tensor([ids]), output_hidden_states=True).hidden_states[2][0].numpy()
    states /= np.sqrt((states**2).mean(axis=1, keepdims=True) + 1e-6)
    own = len(" Oh no!\n")
    vectors = made.encode([TALK[:2]]).vectors
    assert vectors.shape == (1, made.dimension) == (1, 16)
    np.testing.assert_allclose(vectors[0], states[-own:].mean(0), atol=1e-5)
    tokens = LanguageModel(made.model, layer=2, pooling="tokens").encode([TALK[:2]])
    np.testing.assert_allclose(tokens.vectors, states[-own:], atol=1e-5)
    last = LanguageModel(made.model, layer=2, pooling="last").encode([TALK[:2]])
    np.testing.assert_allclose(last.vectors[0], states[-1], atol=1e-5)


def test_what_came_before_counts_and_what_comes_after_does_not(folder: str) -> None:
    made = LanguageModel(folder)
    whole, alone = made.encode(so_far(TALK)).vectors, made.encode(TALK).vectors
    np.testing.assert_allclose(whole[0], alone[0], atol=1e-5)
    assert np.abs(whole[1] - alone[1]).max() > 0.01 and np.abs(whole[1] - whole[3]).max() > 0.01
    other = made.encode(so_far([*TALK[:3], "Nothing."])).vectors
    np.testing.assert_allclose(other[:3], whole[:3], atol=1e-5)


def test_texts_that_begin_alike_are_read_in_one_pass(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    passes: list[int] = []
    states = language_model._Reader.states

    def counted(reader: language_model._Reader, some: list[tuple[int, ...]]) -> Iterator[object]:
        passes.extend(map(len, some))
        return states(reader, some)

    made = LanguageModel(folder)
    made.encode(TALK)  # loads it, with passes of its own
    monkeypatch.setattr(language_model._Reader, "states", counted)
    items = [*so_far(TALK), *so_far(["Hello there.", "Never mind."]), ["Hello there."]]
    in_order = made.encode(items).vectors
    assert sorted(passes) == [
        1 + sum(len(f"- {text}\n") for text in talk) for talk in (["Hello there.", "Never mind."], TALK)
    ]
    mixed = np.random.default_rng(0).permutation(len(items))
    np.testing.assert_allclose(made.encode([items[n] for n in mixed]).vectors, in_order[mixed], atol=1e-5)


def test_what_has_no_room_is_left_out_from_the_front(folder: str) -> None:
    made = LanguageModel(folder, longest=200)  # of 512 places
    lines = [letter * 300 for letter in "abcd"]
    np.testing.assert_allclose(made.encode([lines]).vectors, made.encode([lines[2:]]).vectors, atol=1e-5)
    assert np.abs(made.encode([lines]).vectors - made.encode([lines[3:]]).vectors).max() > 0.01
    cut = [LanguageModel(folder, longest=longest).encode(["a" * 700]).vectors for longest in (509, 510, 600)]
    np.testing.assert_array_equal(cut[1], cut[2])  # a start, a dash and 510 tokens of its own
    assert np.abs(cut[0] - cut[1]).max() > 1e-6


def test_the_middle_layer_is_read_by_default(tmp_path: Path) -> None:
    model = contract.tiny_decoder(tmp_path / "model", layers=4)
    np.testing.assert_array_equal(
        LanguageModel(model).encode(TALK).vectors, LanguageModel(model, layer=2).encode(TALK).vectors
    )
    assert LanguageModel(model, layer=4).encode(TALK).vectors.std() > 0
    with pytest.raises(InputError, match="has 4 layers; use 1 to 4"):
        LanguageModel(model, layer=5).encode(TALK)


def test_what_is_wrong_is_said(folder: str, tmp_path: Path) -> None:
    with pytest.raises(FeatureError, match=r"reads texts in both directions; 'sentence' takes such a model"):
        LanguageModel(contract.tiny_encoder(tmp_path / "bert", layers=3)).encode(["good day"])
    with pytest.raises(UnknownNameError, match="packaged language model"):
        LanguageModel("packaged:gpt-5").encode(["good day"])
    with pytest.raises(UnknownNameError, match="pooling"):
        LanguageModel(folder, pooling="max")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="before must be at least 1"):
        LanguageModel(folder, before=0)
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "config.json").write_text(json.dumps({"model_type": "llama", "hidden_size": 16}))
    with pytest.raises(FeatureError, match="cannot be loaded"):
        LanguageModel(str(broken)).encode(["good day"])


def test_the_packaged_model_is_unpacked_when_it_is_read_and_not_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(_packed_gguf, "NEEDS", Requires(("numpy",), extra="language-model"))
    made = LanguageModel()
    assert made.dimension == 640 and made.fingerprint() and not any(tmp_path.iterdir())
    monkeypatch.setattr(_packed_gguf, "NEEDS", Requires(("no-such-package",), extra="language-model"))
    with pytest.raises(FeatureError, match=r"pip install 'graphsocial\[language-model\]'"):
        made.fingerprint()
    with pytest.raises(FeatureError, match="no-such-package"):
        made.encode(["good day"])
    assert not any((tmp_path / "graphsocial").iterdir()), "nothing half-written"


def test_weights_that_are_missing_are_not_made_up(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = Path(contract.tiny_decoder(tmp_path / "model"))
    weights = load_file(folder / "model.safetensors")
    left = {name: value for name, value in weights.items() if "layers.0.mlp" not in name}
    save_file(left, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(FeatureError, match="lacks 3 of its weights"):
        LanguageModel(str(folder)).encode(["good day"])


class TestInAStore:
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[gs.GraphStore]:
        """Two dialogues; one turn of the first has no text."""
        (tmp_path / "talks").mkdir()
        with (tmp_path / "talks" / "segments.jsonl").open("w") as file:
            for dialogue, texts in enumerate([["Hello.", "", "Oh no!", "Bye.", "Bye."], ["Hello.", "Bye."]]):
                for turn, text in enumerate(texts):
                    row = {"dialogue": f"d{dialogue}", "turn": turn, "speaker": "ab"[turn % 2], "text": text}
                    file.write(json.dumps({**row, "emotion": "joy"}) + "\n")
        with gs.open(tmp_path / "s.duckdb") as opened:
            gs.ingest(opened, "dialogue", tmp_path / "talks")
            yield opened

    def vectors(self, store: gs.GraphStore, made: LanguageModel) -> list[list[float]]:
        (report,) = gs.featurize(store, "segment.text", made)
        joined = f"feature_rows join {report.use.table} using (set_id, content)"
        rows = store.sql(f"select vector from {joined} where set_id = ? order by idx", [report.use.set_id])
        return [vector for (vector,) in rows.fetchall()]

    def test_a_text_is_read_after_those_before_it(self, store: gs.GraphStore, folder: str) -> None:
        first, second = ["Hello.", "Oh no!", "Bye.", "Bye."], ["Hello.", "Bye."]
        vectors = self.vectors(store, LanguageModel(folder, order="next"))
        expected = LanguageModel(folder).encode([*so_far(first), *so_far(second)]).vectors
        np.testing.assert_allclose(vectors, expected, atol=1e-5)
        alone = self.vectors(store, LanguageModel(folder))
        np.testing.assert_allclose(alone, LanguageModel(folder).encode([*first, *second]).vectors, atol=1e-5)

    def test_before_bounds_what_is_read(self, store: gs.GraphStore, folder: str) -> None:
        """With 1, a turn is read after one or two turns: of places 0 to 4, from place 0, 0, 1, 2, 3."""
        vectors = self.vectors(store, LanguageModel(folder, order="next", before=1))
        texts = [["Hello."], ["Oh no!"], ["Oh no!", "Bye."], ["Bye.", "Bye."], ["Hello."], ["Hello.", "Bye."]]
        np.testing.assert_allclose(vectors, LanguageModel(folder).encode(texts).vectors, atol=1e-5)

    def test_equal_beginnings_are_encoded_once(self, store: gs.GraphStore, folder: str) -> None:
        (report,) = gs.featurize(store, "segment.text", LanguageModel(folder, order="next"))
        assert (report.rows, report.encoded, report.empty) == (6, 5, 1)  # both dialogues begin with "Hello."
        (again,) = gs.featurize(store, "segment.text", LanguageModel(folder, order="next"))
        assert (again.encoded, again.reused) == (0, 5)

    def test_an_order_that_there_is_not(self, store: gs.GraphStore, folder: str) -> None:
        with pytest.raises(InputError, match=r"no relation 'after' .* it has: next, replies"):
            gs.featurize(store, "segment.text", LanguageModel(folder, order="after"))

    def test_a_setting_behind_the_name_is_no_part_of_it(self, store: gs.GraphStore) -> None:
        with pytest.raises(InputError, match="layer must be at least 0, not -1"):
            gs.featurize(store, "segment.text", "language-model,layer=-1")


@pytest.mark.skipif(bool(_packed_gguf.NEEDS.missing()), reason=f"needs: {_packed_gguf.NEEDS.command}")
def test_the_packaged_model_knows_english() -> None:
    texts = ["I am so happy for you!", "What great news!", "He died last night.", "I lost my mother."]
    vectors = LanguageModel().encode(texts).vectors
    near = np.corrcoef(vectors - vectors.mean(0))
    assert vectors.shape == (4, 640) and near[0, 1] > near[0, 2] and near[2, 3] > near[1, 2]
