"""A BERT-like sentence embedder from a directory, run forward in numpy: no torch, no download.

What the sentence-transformers models of the MiniLM family are: `config.json`, `tokenizer.json`,
`model.safetensors`; post-norm encoder layers with learned positions and exact GELU, the mean over a text's
tokens, length 1.
"""

import json
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from holdfast.kernel.errors import Misconfigured

Floats = npt.NDArray[np.float32]

AT_ONCE = 32
"""Texts that go through the layers together, of similar length: padding is work for nothing."""
_FILES = ("config.json", "tokenizer.json", "model.safetensors")


class Bert:
    """The model, loaded. Not for two threads at once."""

    def __init__(
        self, name: str, settings: Mapping[str, Any], tokenizer: Any, weights: Mapping[str, Floats]
    ) -> None:
        self.name = name
        self.dims = int(settings["hidden_size"])
        self._heads = int(settings["num_attention_heads"])
        self._layers = int(settings["num_hidden_layers"])
        self._epsilon = float(settings.get("layer_norm_eps", 1e-12))
        self._weights = weights
        self._tokenizer = tokenizer

    @classmethod
    def read(cls, folder: str) -> "Bert":
        """Raises Misconfigured when the directory does not hold such a model."""
        from safetensors.numpy import load_file
        from tokenizers import Tokenizer

        place = Path(folder)
        if missing := [name for name in _FILES if not (place / name).is_file()]:
            raise Misconfigured(
                f"{folder} has no {', '.join(missing)}",
                hint="name a directory that holds " + ", ".join(_FILES),
            )
        raw = (place / "config.json").read_bytes()
        settings = json.loads(raw)
        weights = {
            _plain(key): array.astype(np.float32)
            for key, array in load_file(place / "model.safetensors").items()
        }
        tokenizer = Tokenizer.from_file(str(place / "tokenizer.json"))
        tokenizer.no_padding()
        tokenizer.enable_truncation(min(512, int(settings["max_position_embeddings"])))
        kinds = (settings.get("model_type", "bert"), settings.get("hidden_act", "gelu"))
        if kinds != ("bert", "gelu") or settings.get("position_embedding_type", "absolute") != "absolute":
            raise Misconfigured(
                f"{folder} holds a model of kind {kinds}", hint="name one of kind bert, with gelu"
            )
        # The weights' own bytes make the id: another model under the same folder is another index.
        mark = blake2b(raw, digest_size=4)
        for key in sorted(weights):
            mark.update(weights[key][:1].tobytes())
        made = cls(f"{place.resolve().name}-{mark.hexdigest()}", settings, tokenizer, weights)
        made._check(folder)
        return made

    def embed(self, texts: Sequence[str]) -> tuple[Floats, int]:
        """(a unit vector a text, how many tokens they had)."""
        encoded = [self._tokenizer.encode(text).ids for text in texts]
        order = sorted(range(len(texts)), key=lambda at: len(encoded[at]))
        vectors = np.zeros((len(texts), self.dims), np.float32)
        for at in range(0, len(order), AT_ONCE):
            some = order[at : at + AT_ONCE]
            vectors[some] = self._forward([encoded[place] for place in some])
        return vectors, sum(map(len, encoded))

    def _forward(self, ids: Sequence[Sequence[int]]) -> Floats:
        longest = max(map(len, ids))
        tokens = np.zeros((len(ids), longest), np.intp)
        there = np.zeros((len(ids), longest), np.float32)
        for row, given in enumerate(ids):
            tokens[row, : len(given)] = given
            there[row, : len(given)] = 1.0
        weights = self._weights
        state = (
            weights["embeddings.word_embeddings.weight"][tokens]
            + weights["embeddings.position_embeddings.weight"][:longest]
            + weights["embeddings.token_type_embeddings.weight"][0]
        )
        state = self._norm(state, "embeddings.LayerNorm")
        hidden = np.where(there[:, None, None, :] > 0, np.float32(0), np.float32(-1e9))
        for layer in range(self._layers):
            state = self._layer(state, hidden, f"encoder.layer.{layer}.")
        mean = (state * there[:, :, None]).sum(1) / there.sum(1)[:, None]
        unit: Floats = mean / np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-12)
        return unit

    def _layer(self, state: Floats, hidden: Floats, name: str) -> Floats:
        texts, length, _ = state.shape
        parts = self.dims // self._heads

        def heads(what: str) -> Floats:
            made = self._linear(state, f"{name}attention.self.{what}")
            return made.reshape(texts, length, self._heads, parts).transpose(0, 2, 1, 3)

        scores = heads("query") @ heads("key").transpose(0, 1, 3, 2) / np.float32(np.sqrt(parts)) + hidden
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        scores /= scores.sum(-1, keepdims=True)
        seen = (scores @ heads("value")).transpose(0, 2, 1, 3).reshape(texts, length, self.dims)
        state = self._norm(
            state + self._linear(seen, f"{name}attention.output.dense"), f"{name}attention.output.LayerNorm"
        )
        inner = _gelu(self._linear(state, f"{name}intermediate.dense"))
        return self._norm(state + self._linear(inner, f"{name}output.dense"), f"{name}output.LayerNorm")

    def _linear(self, state: Floats, name: str) -> Floats:
        made: Floats = state @ self._weights[f"{name}.weight"].T + self._weights[f"{name}.bias"]
        return made

    def _norm(self, state: Floats, name: str) -> Floats:
        centred = state - state.mean(-1, keepdims=True)
        spread = np.sqrt((centred * centred).mean(-1, keepdims=True) + np.float32(self._epsilon))
        made: Floats = centred / spread * self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"]
        return made

    def _check(self, folder: str) -> None:
        try:
            vectors, _ = self.embed(["a", "한 문장"])
        except (KeyError, ValueError, IndexError) as error:
            raise Misconfigured(
                f"the model in {folder} does not fit its config.json: {error}",
                hint="take the files of one model",
            ) from error
        if not np.isfinite(vectors).all():
            raise Misconfigured(f"the model in {folder} gives no numbers", hint="take the files of one model")


def _plain(key: str) -> str:
    """A weight's name without the prefix that some exports give."""
    return key.removeprefix("bert.")


def _gelu(values: Floats) -> Floats:
    """x times the normal distribution's share below x, by the error function (Abramowitz and Stegun 7.1.26).

    Its error, 1.5e-7, is below that of the 32-bit floats it is used on.
    """
    scaled = np.abs(values) * np.float32(0.7071067811865476)
    near = 1 / (1 + np.float32(0.3275911) * scaled)
    steps = (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)
    curve = np.zeros_like(near)
    for step in steps:
        curve = (curve + np.float32(step)) * near
    error = np.copysign(1 - curve * np.exp(-scaled * scaled), values)
    made: Floats = values * np.float32(0.5) * (1 + error)
    return made
