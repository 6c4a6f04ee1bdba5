"""What is kept of documents: the nouns that store and engine share."""

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

import msgspec

PENDING, SERVING, RETIRED, FAILED = "pending", "serving", "retired", "failed"
"""A version's states. Only a serving one is found; the rows of the last two are swept away."""
EMPTY, DELETING = "empty", "deleting"
"""A document's states beside `serving`: no version has served yet; nothing of it will again."""

CHUNK_BITS = 20
"""A chunk's number is its version's, shifted, plus its place: at most 1,048,576 chunks a version."""
MAX_CHUNKS = 1 << CHUNK_BITS


def chunk_id(version: int, ordinal: int) -> int:
    """The number of a chunk, by which it is indexed.

    >>> chunk_id(3, 5) == (3 << 20) + 5, version_of(chunk_id(3, 5)), ordinal_of(chunk_id(3, 5))
    (True, 3, 5)
    """
    return version << CHUNK_BITS | ordinal


def version_of(chunk: int) -> int:
    """The number of the version that a chunk belongs to."""
    return chunk >> CHUNK_BITS


def ordinal_of(chunk: int) -> int:
    """A chunk's place within its version, from 0."""
    return chunk & (MAX_CHUNKS - 1)


class Upload(msgspec.Struct, frozen=True, kw_only=True):
    """What a new version of a document begins with."""

    tenant: str
    name: str
    """What the tenant calls the document; another version of it has the same name."""
    document_id: str
    """The document's id where there is none of this name yet."""
    title: str = ""
    tags: tuple[str, ...] = ()
    content_hash: str
    chunker: str = ""
    embedder: str = ""
    media_type: str = ""
    size_bytes: int = 0
    job_id: str = ""


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """A document as it stands."""

    id: str
    tenant: str
    name: str
    title: str
    tags: tuple[str, ...]
    serving: int
    """Number of the version that is found; 0: none yet."""
    newest: int
    """How many versions there have been."""
    state: str
    created_ms: int
    updated_ms: int


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a document."""

    no: int
    """Unique in the database."""
    document_id: str
    tenant: str
    n: int
    """Counts within the document, from 1."""
    content_hash: str
    chunker: str
    embedder: str
    media_type: str
    state: str
    size_bytes: int
    characters: int
    chunks: int
    length: int
    """Terms of all its chunks."""
    tokens: int
    """Tokens that embedding it took."""
    cost: float
    reason: str
    """Why it failed: a problem's code and words."""
    job_id: str
    created_ms: int
    ended_ms: int
    """When it began to serve, or failed."""
    facts: Mapping[str, Any]
    """What else is known: pages, warnings, seconds by stage, poisoned chunks."""


class Piece(msgspec.Struct, frozen=True):
    """A chunk to be stored: `text[start:end]` of its version, and the headings it stands under."""

    start: int
    end: int
    text: str
    path: tuple[str, ...] = ()


def embedded_text(path: Sequence[str], text: str) -> str:
    """What a chunk's vector is made of: its headings say what it is about, where it does not.

    >>> embedded_text(("Prices", "2024"), "It rose.")
    'Prices > 2024\\nIt rose.'
    """
    return f"{' > '.join(path)}\n{text}" if path else text


def text_hash(tenant: str, path: Sequence[str], text: str) -> str:
    """What a chunk's vector is kept under; no two tenants share one, or one would learn of the other's."""
    whole = f"{tenant}\0{embedded_text(path, text)}"
    return blake2b(whole.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


class Hit(msgspec.Struct, frozen=True):
    """A chunk that was found; scores of one search compare, those of two do not."""

    chunk: int
    score: float
    document_id: str = ""
    held: float = 0.0
    """Share of the question's weight that its terms hold, 0 to 1; compares between questions."""


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A chunk with everything that citing it takes: `text` is `[start:end]` of the version's text."""

    chunk: int
    document_id: str
    version: int
    n: int
    name: str
    title: str
    tags: tuple[str, ...]
    ordinal: int
    start: int
    end: int
    path: tuple[str, ...]
    text: str
    score: float = 0.0
    held: float = 0.0
    counts: bytes = b""
    """Its packed terms, by which passages are told apart."""


class Filter(msgspec.Struct, frozen=True):
    """Whose chunks may be found: a tenant's, of documents with every one of `tags`, among `documents`."""

    tenant: str
    tags: tuple[str, ...] = ()
    documents: tuple[str, ...] = ()
