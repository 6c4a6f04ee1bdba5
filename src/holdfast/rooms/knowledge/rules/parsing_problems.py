"""What can be wrong with a document, and what to do about each."""

from typing import ClassVar

from holdfast.kernel.errors import BadInput, Problem, TooLarge, Unavailable


class Unreadable(Problem):
    """The document cannot be read."""

    code = "knowledge-corrupt"
    status = 422
    kind: ClassVar[str] = "corrupt_input"
    """The error kind of the job that meets it."""


class Encrypted(Unreadable):
    """The document is encrypted."""

    code = "knowledge-encrypted"


class NoText(Unreadable):
    """There is no text in the document."""

    code = "knowledge-no-text"


class UnsupportedType(Unreadable):
    """Documents of this type cannot be read."""

    code = "knowledge-unsupported-type"
    status = 415
    kind = "unsupported"


class HostileMarkup(Unreadable):
    """The document holds markup that is only there to hurt a parser."""

    code = "knowledge-hostile"


class DocumentTooLarge(TooLarge):
    """The document is larger than allowed."""

    code = "knowledge-too-large"
    kind: ClassVar[str] = "too_large"


class TooManyPages(DocumentTooLarge):
    """The document has more pages than allowed."""

    code = "knowledge-too-many-pages"


class TooMuchText(DocumentTooLarge):
    """The document gives more text than allowed."""

    code = "knowledge-too-much-text"


class TooMuchUnpacked(DocumentTooLarge):
    """The document unpacks to more than allowed."""

    code = "knowledge-zip-bomb"


class TooDeep(DocumentTooLarge):
    """The document nests deeper than allowed."""

    code = "knowledge-too-deep"


class TooSlow(DocumentTooLarge):
    """The document takes longer to read than allowed."""

    code = "knowledge-too-slow"
    status = 422


class TooMuchMemory(DocumentTooLarge):
    """The document takes more memory to read than allowed."""

    code = "knowledge-too-much-memory"
    status = 422


class ParserMissing(BadInput):
    """What reads documents of this type is not installed."""

    code = "knowledge-parser-missing"
    status = 501
    kind: ClassVar[str] = "unsupported"


class ParserUnavailable(Unavailable):
    """The process that reads documents cannot be started."""

    code = "knowledge-parser-unavailable"
    kind: ClassVar[str] = "temporary"


BY_CODE: dict[str, type[Problem]] = {
    kind.code: kind
    for kind in (
        Unreadable,
        Encrypted,
        NoText,
        UnsupportedType,
        HostileMarkup,
        DocumentTooLarge,
        TooManyPages,
        TooMuchText,
        TooMuchUnpacked,
        TooDeep,
        TooSlow,
        TooMuchMemory,
        ParserMissing,
        ParserUnavailable,
    )
}
"""What the process that reads a document may answer with, by its code."""


def corrupt(why: str) -> Unreadable:
    """The document is not what it says it is, or is broken."""
    return Unreadable(why, hint="open the document in the program that made it and save it again")


def encrypted(what: str) -> Encrypted:
    """It cannot be opened without a password."""
    return Encrypted(f"{what} is encrypted", hint="save it without a password and upload that")


def no_text(pages: int) -> NoText:
    """Nothing in it can be searched: it is empty, or its pages are pictures."""
    if pages:
        return NoText(
            f"none of the {pages} pages has a text layer: they are pictures",
            hint="run the document through OCR and upload the result",
        )
    return NoText("the document is empty", hint="upload a document with some text in it")


def unsupported(what: str, hint: str = "") -> UnsupportedType:
    """It is known to be something that is not read here."""
    return UnsupportedType(
        f"{what} cannot be read", hint=hint or "PDF, DOCX, HTML, Markdown and plain text can be read"
    )


def hostile(what: str) -> HostileMarkup:
    """It holds what only an attack needs."""
    return HostileMarkup(f"the document holds {what}", hint="documents need none; save it again without")


def too_large(size_bytes: int, limit: int) -> DocumentTooLarge:
    """It has more bytes than allowed; one more than the limit means that reading stopped there."""
    return DocumentTooLarge(
        f"the document has {size_bytes} bytes"
        if size_bytes != limit + 1
        else f"it has more than {limit} bytes",
        hint=f"at most {limit} bytes can be read; split the document",
    )


def too_many_pages(pages: int, limit: int) -> TooManyPages:
    """It has more pages than allowed."""
    return TooManyPages(
        f"the document has {pages} pages", hint=f"at most {limit} can be read; split the document"
    )


def too_much_text(limit: int) -> TooMuchText:
    """Its text is longer than allowed; it is not cut, because half a document would answer wrongly."""
    return TooMuchText(f"the document gives more than {limit} characters of text", hint="split the document")


def too_much_unpacked(why: str) -> TooMuchUnpacked:
    """It is an archive that unpacks to more than allowed."""
    return TooMuchUnpacked(why, hint="save the document again; if it is what it should be, split it")


def too_deep(limit: int) -> TooDeep:
    """Its elements nest deeper than allowed."""
    return TooDeep(f"it nests more than {limit} deep", hint="save the document again with a simpler layout")


def too_slow(seconds: float, clock: str) -> TooSlow:
    """It was not read in time; `clock` names the one that ran out."""
    return TooSlow(
        f"the document was not read within {seconds:g} s of {clock} time",
        hint="save it again, or split it; it may be broken so that reading never ends",
    )


def too_much_memory(limit: int) -> TooMuchMemory:
    """Reading it takes more memory than allowed."""
    return TooMuchMemory(
        f"reading the document takes more than {limit} bytes of memory", hint="save it again, or split it"
    )


def parser_missing(what: str) -> ParserMissing:
    """The extra that reads it is not installed."""
    return ParserMissing(f"{what} cannot be read here", hint="pip install 'holdfast[knowledge]'")


def from_code(code: str, detail: str, hint: str) -> Problem:
    """The problem that a parser's process named; an unknown name is a document that cannot be read."""
    return BY_CODE.get(code, Unreadable)(detail[:500], hint=hint[:500])


def unavailable(why: str) -> ParserUnavailable:
    """The process did not start, for a reason that is not the document's."""
    return ParserUnavailable(
        f"the process that reads documents did not start: {why[:300]}",
        hint="is the machine out of processes or memory? the upload is kept and tried again",
        retry_after_s=5.0,
    )
