"""The `[knowledge]` section."""

from typing import Annotated

import msgspec
from msgspec import Meta

from holdfast.rooms.knowledge.rules.chunks import Chunking
from holdfast.rooms.knowledge.rules.embedding import Batching, Pace
from holdfast.rooms.knowledge.rules.parsed import Limits
from holdfast.rooms.knowledge.rules.refusing import SURE_ENOUGH


class Config(msgspec.Struct, frozen=True):
    """Settings of the knowledge room."""

    max_upload_bytes: Annotated[
        int, Meta(ge=1, le=2_000_000_000, description="bytes of one file; more is 413 as soon as it is known")
    ] = 50_000_000
    max_pages: Annotated[int, Meta(ge=1, le=100_000, description="pages of one document")] = 2_000
    max_characters: Annotated[
        int, Meta(ge=1, le=100_000_000, description="characters of the text that comes out of one document")
    ] = 5_000_000
    parse_s: Annotated[
        float, Meta(gt=0, le=3600, description="seconds that reading one document may take")
    ] = 180.0
    parse_cpu_s: Annotated[
        float, Meta(gt=0, le=3600, description="seconds of processor time that reading one may take")
    ] = 90.0
    parse_memory_bytes: Annotated[
        int, Meta(ge=67_108_864, description="memory of the process that reads a document")
    ] = 1_073_741_824
    parsers: Annotated[int, Meta(ge=1, le=64, description="documents that are read at once")] = 2
    chunk_characters: Annotated[
        int, Meta(ge=100, le=4_000, description="characters of a chunk, aimed at; at most twice as many")
    ] = 800
    chunk_overlap: Annotated[
        int, Meta(ge=0, le=2_000, description="characters that a chunk may repeat of the one before it")
    ] = 120
    embeddings_model: Annotated[
        str, Meta(description="public name of a model that makes vectors; empty: terms alone are searched")
    ] = ""
    embeddings_folder: Annotated[
        str, Meta(description="or a folder with a BERT-like model, which is run in this process")
    ] = ""
    embeddings_per_minute: Annotated[
        float, Meta(gt=0, description="requests a minute for vectors, of all processes together")
    ] = 1_000.0
    embedding_tokens_per_minute: Annotated[
        float, Meta(gt=0, description="tokens a minute for vectors, of all processes together")
    ] = 1_000_000.0
    embedding_batch: Annotated[int, Meta(ge=1, le=2_048, description="chunks in one request for vectors")] = (
        64
    )
    embedding_concurrency: Annotated[
        int, Meta(ge=1, le=64, description="requests for vectors under way at once, of one document")
    ] = 3
    passages: Annotated[int, Meta(ge=1, le=50, description="passages that an answer is given")] = 6
    refuse_below: Annotated[
        float,
        Meta(
            ge=0,
            le=1,
            description="probability, by words, that the passages answer; below it a question is refused",
        ),
    ] = SURE_ENOUGH
    model: Annotated[
        str, Meta(description="public name of the model that answers; empty: the default one")
    ] = ""
    max_answer_tokens: Annotated[int, Meta(ge=16, le=100_000, description="tokens of an answer")] = 800
    answer_s: Annotated[
        float, Meta(gt=0, le=3600, description="seconds for an answer, all attempts included")
    ] = 60.0
    heartbeat_s: Annotated[
        float, Meta(gt=0, le=600, description="seconds of silence after which a stream sends a comment")
    ] = 10.0
    ingest_s: Annotated[
        float, Meta(gt=0, le=86_400, description="seconds that one attempt at taking a document in may take")
    ] = 3_600.0
    generate_s: Annotated[
        float, Meta(gt=0, le=86_400, description="seconds that one attempt at a whole text may take")
    ] = 1_800.0
    sweep_s: Annotated[
        float,
        Meta(
            gt=0, le=86_400, description="seconds between looks for uploads without a job and rows to remove"
        ),
    ] = 30.0

    @property
    def limits(self) -> Limits:
        """What reading one document may take."""
        return Limits(
            size_bytes=self.max_upload_bytes,
            pages=self.max_pages,
            chars=self.max_characters,
            wall_s=self.parse_s,
            cpu_s=self.parse_cpu_s,
            memory_bytes=self.parse_memory_bytes,
        )

    @property
    def pace(self) -> Pace:
        """How fast an embedder may be asked."""
        return Pace(
            requests_per_minute=self.embeddings_per_minute, tokens_per_minute=self.embedding_tokens_per_minute
        )

    @property
    def batching(self) -> Batching:
        """How chunks are put together for it."""
        return Batching(size=self.embedding_batch, concurrency=self.embedding_concurrency)

    @property
    def chunking(self) -> Chunking:
        """How texts are cut."""
        return Chunking(
            size=self.chunk_characters, overlap=self.chunk_overlap, longest=2 * self.chunk_characters
        )
