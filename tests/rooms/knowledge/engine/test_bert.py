"""The model in a folder: a tiny one made here, against the same arithmetic done slowly."""

import json
import math

import numpy as np
import pytest
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from holdfast.kernel.errors import Misconfigured
from holdfast.rooms.knowledge.engine.bert import Bert
from holdfast.rooms.knowledge.engine.embedders import LocalEmbedder

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "딸기", "농장", "bees", "live", "here"]
HIDDEN, HEADS, LAYERS, INNER = 8, 2, 2, 12
SETTINGS = {
    "model_type": "bert",
    "hidden_act": "gelu",
    "hidden_size": HIDDEN,
    "num_attention_heads": HEADS,
    "num_hidden_layers": LAYERS,
    "intermediate_size": INNER,
    "max_position_embeddings": 16,
    "layer_norm_eps": 1e-12,
}


def weights(seed=1):
    draw = np.random.default_rng(seed)

    def made(*shape):
        return draw.normal(0, 0.5, shape).astype(np.float32)

    found = {
        "embeddings.word_embeddings.weight": made(len(WORDS), HIDDEN),
        "embeddings.position_embeddings.weight": made(16, HIDDEN),
        "embeddings.token_type_embeddings.weight": made(2, HIDDEN),
    }
    norms = ["embeddings.LayerNorm"]
    for layer in range(LAYERS):
        name = f"encoder.layer.{layer}."
        for part in (
            "attention.self.query",
            "attention.self.key",
            "attention.self.value",
            "attention.output.dense",
        ):
            found[f"{name}{part}.weight"], found[f"{name}{part}.bias"] = made(HIDDEN, HIDDEN), made(HIDDEN)
        found[f"{name}intermediate.dense.weight"] = made(INNER, HIDDEN)
        found[f"{name}intermediate.dense.bias"] = made(INNER)
        found[f"{name}output.dense.weight"] = made(HIDDEN, INNER)
        found[f"{name}output.dense.bias"] = made(HIDDEN)
        norms += [f"{name}attention.output.LayerNorm", f"{name}output.LayerNorm"]
    for norm in norms:
        found[f"{norm}.weight"], found[f"{norm}.bias"] = made(HIDDEN), made(HIDDEN)
    return found


@pytest.fixture
def folder(tmp_path):
    tokenizer = Tokenizer(models.WordLevel({word: at for at, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "config.json").write_text(json.dumps(SETTINGS))
    save_file(weights(), tmp_path / "model.safetensors")
    return tmp_path


def slowly(w, ids):
    """The forward pass of one text with plain lists: the reference."""

    def linear(x, name):
        return [
            sum(float(a) * b for a, b in zip(row, x, strict=True)) + float(bias)
            for row, bias in zip(w[f"{name}.weight"], w[f"{name}.bias"], strict=True)
        ]

    def norm(x, name):
        mean = sum(x) / len(x)
        spread = math.sqrt(sum((a - mean) ** 2 for a in x) / len(x) + 1e-12)
        return [
            (a - mean) / spread * float(g) + float(b)
            for a, g, b in zip(x, w[f"{name}.weight"], w[f"{name}.bias"], strict=True)
        ]

    def plus(x, y):
        return [a + b for a, b in zip(x, y, strict=True)]

    e = "embeddings."
    states = [
        norm(
            [
                float(a) + float(b) + float(c)
                for a, b, c in zip(
                    w[e + "word_embeddings.weight"][id],
                    w[e + "position_embeddings.weight"][at],
                    w[e + "token_type_embeddings.weight"][0],
                    strict=True,
                )
            ],
            e + "LayerNorm",
        )
        for at, id in enumerate(ids)
    ]
    size = HIDDEN // HEADS
    for layer in range(LAYERS):
        n = f"encoder.layer.{layer}."
        q, k, v = (
            [linear(x, f"{n}attention.self.{part}") for x in states] for part in ("query", "key", "value")
        )
        seen = [[] for _ in states]
        for head in range(0, HIDDEN, size):
            cut = slice(head, head + size)
            for at in range(len(states)):
                scores = [
                    sum(a * b for a, b in zip(q[at][cut], one[cut], strict=True)) / math.sqrt(size)
                    for one in k
                ]
                shares = [math.exp(score - max(scores)) for score in scores]
                shares = [share / sum(shares) for share in shares]
                seen[at] += [
                    sum(s * one[cut][i] for s, one in zip(shares, v, strict=True)) for i in range(size)
                ]
        states = [
            norm(plus(x, linear(y, f"{n}attention.output.dense")), f"{n}attention.output.LayerNorm")
            for x, y in zip(states, seen, strict=True)
        ]
        inner = [
            [a * 0.5 * (1 + math.erf(a / math.sqrt(2))) for a in linear(x, f"{n}intermediate.dense")]
            for x in states
        ]
        states = [
            norm(plus(x, linear(y, f"{n}output.dense")), f"{n}output.LayerNorm")
            for x, y in zip(states, inner, strict=True)
        ]
    mean = [sum(column) / len(states) for column in zip(*states, strict=True)]
    length = math.sqrt(sum(a * a for a in mean))
    return [a / length for a in mean]


def test_it_is_the_same_as_done_slowly_also_beside_longer_texts(folder):
    bert = Bert.read(str(folder))
    texts = {
        "딸기 농장": [2, 4, 5, 3],
        "bees live here 딸기": [2, 6, 7, 8, 4, 3],
        "unknown": [2, 1, 3],
        "": [2, 3],
    }
    vectors, tokens = bert.embed(list(texts))
    assert tokens == 15
    for vector, ids in zip(vectors, texts.values(), strict=True):
        assert np.allclose(vector, slowly(weights(), ids), atol=2e-5)
    alone, _ = bert.embed(["딸기 농장"])
    assert np.allclose(alone[0], vectors[0], atol=1e-6)
    long, _ = bert.embed(["bees " * 400])
    assert np.isfinite(long).all()


async def test_the_embedder_s_name_changes_with_the_weights(folder):
    first = LocalEmbedder(str(folder))
    given = await first.embed(["딸기", "bees"], "acme")
    assert (len(given.vectors), given.usage.input_tokens) == (2, 6)
    save_file(weights(2), folder / "model.safetensors")
    assert LocalEmbedder(str(folder)).id != first.id


@pytest.mark.parametrize("fault", ["gone", "kind", "sizes"])
def test_a_folder_that_holds_no_such_model_is_told(folder, fault):
    if fault == "gone":
        (folder / "tokenizer.json").unlink()
    elif fault == "kind":
        (folder / "config.json").write_text(json.dumps({**SETTINGS, "model_type": "t5"}))
    else:
        (folder / "config.json").write_text(json.dumps({**SETTINGS, "num_hidden_layers": 3}))
    with pytest.raises(Misconfigured) as failure:
        Bert.read(str(folder))
    assert failure.value.hint
