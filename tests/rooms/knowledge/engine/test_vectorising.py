"""Documents and an endpoint for vectors that misbehaves: the old version serves, the new one says why."""

import math

import pytest

from holdfast.kernel.errors import Misconfigured
from holdfast.ports.model import Embedded, ModelFailed, Usage
from tests.rooms.knowledge.models import Quoting

OLD = "서울의 인구는 940만 명이다. 서울은 수도이다."
NEW = "서울의 인구는 933만 명이다. 서울은 수도이다."


class Vectors(Quoting):
    """Gives vectors by the letters of a text, until `fault` says otherwise."""

    def __init__(self):
        super().__init__()
        self.fault = None
        self.embedded = 0

    async def embed(self, texts, *, model="", tenant=""):
        self.embedded += len(texts)
        vectors = [[1.0 + ord(sign) % 7 for sign in (text * 8)[:8]] for text in texts]
        if self.fault is not None:
            vectors = self.fault(vectors)
        return Embedded(vectors, model, Usage(input_tokens=7 * len(texts), cost=0.001))


def too_short(vectors):
    return [vector[:-1] for vector in vectors]


def not_numbers(vectors):
    return [[math.nan, *vector[1:]] for vector in vectors]


class Limited(ModelFailed):
    status = 429
    retryable = False


def limited(vectors):
    raise Limited("too many requests", retry_after_s=0.0)


async def test_a_document_is_embedded_and_what_it_took_is_said(make_on):
    world = make_on(Vectors(), embeddings_model="vectors")
    taken = await world.add("a.txt", OLD)
    assert world.ended == "succeeded"
    _, [version] = await world.knowledge.documents.show("", taken.document_id)
    assert (version.embedder, version.tokens, version.facts["embedded"]) == ("llm:vectors", 7, 1)
    assert [one.text for one in await world.knowledge.search("서울의 인구")] == [OLD]
    before = world.model.embedded
    assert (await world.add("a.txt", OLD)).unchanged
    assert world.model.embedded == before


@pytest.mark.parametrize("fault", [too_short, not_numbers, limited])
async def test_an_endpoint_that_misbehaves_leaves_the_old_version(make, fault):
    world = make(Vectors(), embeddings_model="vectors")
    taken = await world.add("a.txt", OLD)
    world.model.fault = fault
    await world.add("a.txt", NEW)
    assert world.ended == "failed"
    document, versions = await world.knowledge.documents.show("", taken.document_id)
    assert (document.serving, versions[1].state) == (versions[0].no, "failed")
    assert versions[1].reason
    assert [one.text for one in await world.knowledge.search("서울의 인구")] == [OLD]
    world.model.fault = None
    await world.add("a.txt", NEW)
    assert [one.text for one in await world.knowledge.search("서울의 인구")] == [NEW]


async def test_one_embedder_at_a_time(make):
    with pytest.raises(Misconfigured):
        make(Vectors(), embeddings_model="vectors", embeddings_folder="/models/x")
