"""One document: what it is, and which parser reads it."""

import sys
from collections.abc import Callable
from pathlib import Path

from holdfast.kernel.errors import Problem
from holdfast.rooms.knowledge.parsing import confine
from holdfast.rooms.knowledge.parsing.wire import Asked, Told, told_bytes
from holdfast.rooms.knowledge.rules import parsed as kinds
from holdfast.rooms.knowledge.rules import parsing_problems as problems
from holdfast.rooms.knowledge.rules.chunks import chunks
from holdfast.rooms.knowledge.rules.detect import HEAD_BYTES, detect
from holdfast.rooms.knowledge.rules.parsed import Limits, Parsed

Reader = Callable[[bytes, Limits], Parsed]


def prepare(asked: Asked) -> bool:
    """Import the parser of this document before the fork, where the next one finds it; whether it is new."""
    before = len(sys.modules)
    if asked.chunking is not None:
        return False
    try:
        with Path(asked.path).open("rb") as file:
            _reader(detect(file.read(HEAD_BYTES), asked.media_type, asked.name))
    except (OSError, Problem):
        return False  # the child meets the same, and says so
    return len(sys.modules) > before


def tell(asked: Asked) -> bytes:
    """What was asked for, or the problem with it, as bytes; never raises."""
    try:
        told = _done(asked)
    except Problem as problem:
        told = Told(code=problem.code, detail=problem.detail, hint=problem.hint)
    except MemoryError:
        confine.release_reserve()
        told = _told(problems.too_much_memory(asked.limits.memory_bytes))
    except RecursionError:
        told = _told(problems.corrupt("it nests deeper than a parser can follow"))
    except Exception as error:  # noqa: BLE001 - whatever a parser trips over is a document it cannot read
        told = _told(problems.corrupt(f"the parser ended with {type(error).__name__}"))
    return told_bytes(told)


def _done(asked: Asked) -> Told:
    if asked.chunking is None:
        return Told(parsed=read(asked))
    return Told(chunks=tuple(chunks(asked.text, asked.sections, asked.chunking)))


def read(asked: Asked) -> Parsed:
    """The document; raises the Problem that keeps it from being read."""
    limits = asked.limits
    with Path(asked.path).open("rb") as file:
        raw = file.read(limits.size_bytes + 1)
    if len(raw) > limits.size_bytes:
        raise problems.too_large(len(raw), limits.size_bytes)
    media_type = detect(raw[:HEAD_BYTES], asked.media_type, asked.name)
    parsed = _reader(media_type)(raw, limits)
    if not parsed.text.strip():
        raise problems.no_text(len(parsed.pages))
    return parsed


def _told(problem: Problem) -> Told:
    return Told(code=problem.code, detail=problem.detail, hint=problem.hint)


def _reader(media_type: str) -> Reader:
    """What reads this type; imported when the first of them comes."""
    if media_type == kinds.PDF:
        from holdfast.rooms.knowledge.parsing.pdf import read_pdf

        return read_pdf
    if media_type == kinds.DOCX:
        from holdfast.rooms.knowledge.parsing.docx import read_docx

        return read_docx
    if media_type == kinds.HTML:
        from holdfast.rooms.knowledge.parsing.html import read_html

        return read_html
    if media_type == kinds.MARKDOWN:
        from holdfast.rooms.knowledge.parsing.markdown import read_markdown

        return read_markdown
    from holdfast.rooms.knowledge.parsing.plain import read_plain

    return read_plain
