"""Vectors that follow from the text alone: similar texts lie near each other."""

import base64
import math
import zlib
from array import array

from holdfast.kernel.codec import encode_json
from holdfast.rooms.faults.rules.answers import ANOTHER_MODEL
from holdfast.rooms.faults.rules.asks import EmbeddingAsk, tokens_of
from holdfast.rooms.faults.rules.names import Fault
from holdfast.rooms.faults.rules.replies import Reply, plain_reply

_READ = 10_000
"""Characters of a text that its vector is made of."""
_NUMBER = 24


def vector(text: str, dimensions: int) -> "array[float]":
    """A unit vector of float32: every three characters in a row push one dimension up or down."""
    counts = [0.0] * dimensions
    padded = f" {text[:_READ].lower()} "
    for at in range(len(padded) - 1):
        mark = zlib.crc32(padded[at : at + 3].encode("utf-8", "replace"))
        counts[mark % dimensions] += 1.0 if mark & 0x8000_0000 else -1.0
    norm = math.sqrt(sum(count * count for count in counts))
    if norm == 0.0:
        counts[0] = norm = 1.0
    return array("f", (count / norm for count in counts))


def embedding_reply(ask: EmbeddingAsk, fault: Fault) -> Reply:
    """The vectors of all texts in their order."""
    dimensions = ask.dimensions - 1 if fault.name == "bad-dimensions" else ask.dimensions
    spoiled = fault.name == "nan-embedding"
    data = [
        b'{"object":"embedding","index":%d,"embedding":%b}'
        % (index, _encoded(vector(text, dimensions), ask.base64, spoiled))
        for index, text in enumerate(ask.texts)
    ]
    model = ANOTHER_MODEL if fault.name == "wrong-model" else ask.model
    body = b'{"object":"list","data":[%b],"model":%b' % (b",".join(data), encode_json(model))
    if fault.name != "no-usage":
        tokens = tokens_of(ask.texts)
        body += b',"usage":{"prompt_tokens":%d,"total_tokens":%d}' % (tokens, tokens)
    return plain_reply(body + b"}", f"{zlib.crc32(body):0{_NUMBER}x}")


def _encoded(numbers: "array[float]", in_base64: bool, spoiled: bool) -> bytes:
    """A vector as JSON; a NaN is written as careless servers do, which is no JSON at all."""
    if in_base64:
        if spoiled:
            numbers[0] = math.nan
        return b'"%b"' % base64.b64encode(numbers.tobytes())
    if spoiled:
        return b"[NaN," + encode_json(numbers.tolist()[1:])[1:]
    return encode_json(numbers.tolist())
