"""What the room answers, as JSON."""

from collections.abc import Mapping
from typing import Any

import msgspec


class Watch(msgspec.Struct, frozen=True):
    """Where to look for what becomes of a job."""

    document: str
    job: str
    events: str
    """Server-sent events until the job ends."""


class Accepted(msgspec.Struct, frozen=True):
    """An upload was taken. `unchanged`: the same content is there already, so nothing is done."""

    document_id: str
    version: int
    job_id: str
    unchanged: bool
    watch: Watch


class VersionShown(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a document: pending, serving, retired or failed."""

    version: int
    state: str
    content_hash: str
    media_type: str
    size_bytes: int
    characters: int
    chunks: int
    embedder: str
    tokens: int
    cost: float
    reason: str
    """Why it failed; empty otherwise."""
    warnings: tuple[str, ...]
    """What could not be read as it should."""
    pages: int
    language: str
    created_ms: int
    ended_ms: int
    job_id: str
    progress: float
    message: str


class DocumentShown(msgspec.Struct, frozen=True, kw_only=True):
    """A document; `version` is the one that serves, 0 when none does yet."""

    document_id: str
    name: str
    title: str
    tags: tuple[str, ...]
    state: str
    version: int
    created_ms: int
    updated_ms: int
    versions: tuple[VersionShown, ...] = ()


class Listing(msgspec.Struct, frozen=True):
    """Documents by name; `next_after` asks for the next part, null when there is none."""

    documents: tuple[DocumentShown, ...]
    next_after: str | None


class PassageShown(msgspec.Struct, frozen=True, kw_only=True):
    """A passage that was found: `text` is `[start:end]` of the document's text."""

    document_id: str
    version: int
    name: str
    title: str
    page: int
    """0 where a document has no pages."""
    section: tuple[str, ...]
    """The headings that it stands under, from the top."""
    score: float
    start: int
    end: int
    text: str


class Results(msgspec.Struct, frozen=True):
    """Passages, best first."""

    passages: tuple[PassageShown, ...]


class CitationShown(msgspec.Struct, frozen=True, kw_only=True):
    """`[number]` in the answer: `document_text[start:end] == quote`, checked when it was answered."""

    number: int
    document_id: str
    version: int
    name: str
    title: str
    page: int
    section: tuple[str, ...]
    start: int
    end: int
    quote: str


class UsageShown(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the model's answer took; `cost` in the currency of the price table."""

    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0
    estimated: bool = False


class AnswerShown(msgspec.Struct, frozen=True, kw_only=True):
    """A checked answer, or a refusal that says what came closest."""

    question: str
    answer: str
    refused: bool
    confidence: float
    """The probability that the passages answer, 0 to 1."""
    citations: tuple[CitationShown, ...]
    closest: tuple[PassageShown, ...]
    """What was found, for a refusal; without its text."""
    generated_by: str
    model: str
    removed_claims: int
    """Citations of the model's that could not be verified."""
    usage: UsageShown


class SectionShown(msgspec.Struct, frozen=True, kw_only=True):
    """One section of a text; `refused` when the documents say nothing on it."""

    heading: str
    text: str
    refused: bool


class WrittenShown(msgspec.Struct, frozen=True, kw_only=True):
    """A whole text; numbers of citations run through all sections."""

    title: str
    topic: str
    sections: tuple[SectionShown, ...]
    citations: tuple[CitationShown, ...]
    markdown: str
    generated_by: str


class JobShown(msgspec.Struct, frozen=True, kw_only=True):
    """A job of this room."""

    job_id: str
    name: str
    state: str
    status: str
    """PENDING, PROGRESS, SUCCESS or FAILURE."""
    progress: float
    message: str
    error: str
    result: Any


class GenerateAccepted(msgspec.Struct, frozen=True):
    """A text is being written."""

    job_id: str
    watch: Mapping[str, str]


class Erased(msgspec.Struct, frozen=True):
    """How many documents were removed."""

    documents: int
