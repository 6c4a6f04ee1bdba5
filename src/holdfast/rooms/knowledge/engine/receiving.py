"""An upload's body, whatever form it has: the file itself, a form as browsers send it, or JSON with text."""

from collections.abc import AsyncIterator, Callable, Mapping
from urllib.parse import unquote

import msgspec

from holdfast.kernel.errors import BadInput, Malformed
from holdfast.rooms.knowledge.engine.spooling import Spool, too_large
from holdfast.rooms.knowledge.rules.multipart import End, Multipart, Part, boundary_of
from holdfast.rooms.knowledge.rules.problems import BadUpload, UploadTooLarge

FORM_ALLOWANCE = 65_536
"""Bytes that a form may have beside its file."""
MOST_JSON = 4_000_000
"""Bytes of a JSON body: it is held whole and decoded in the loop, which 50 MB would hold up for a second."""
MAX_FIELD = 8_192
JSON = "application/json"
FORM = "multipart/form-data"
_ANYTHING = ("", "application/octet-stream", "application/x-www-form-urlencoded")
"""Types that say nothing: the last is what `curl --data-binary` sends when it is told none."""


class Text(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A document as JSON."""

    name: str
    text: str
    title: str = ""
    tags: tuple[str, ...] = ()
    media_type: str = "text/plain"


class Described(msgspec.Struct, frozen=True):
    """What a caller says of a file."""

    name: str = ""
    media_type: str = ""
    title: str = ""
    tags: tuple[str, ...] = ()


async def receive(
    chunks: AsyncIterator[bytes], content_type: str, length: str, told: Described, spool: Spool, limit: int
) -> Described:
    """Put the file of a body into `spool`; what is said of it, in the body or in `told`, which wins.

    Raises UploadTooLarge (413) as soon as it is known, Malformed (400), BadUpload (422).
    """
    media_type = content_type.partition(";")[0].strip().lower()
    if length.isdigit() and int(length) > limit + FORM_ALLOWANCE * (media_type == FORM):
        raise too_large(limit)
    if media_type == JSON:
        return _over(await _json(chunks, spool, min(limit, MOST_JSON)), told)
    if media_type == FORM:
        return _over(await _form(chunks, boundary_of(content_type), spool), told)
    async for chunk in chunks:
        await spool.write(chunk)
    return msgspec.structs.replace(told, media_type=_meaningful(content_type))


async def _json(chunks: AsyncIterator[bytes], spool: Spool, limit: int) -> Described:
    held, size = [], 0
    async for chunk in chunks:
        size += len(chunk)
        if size > limit:
            raise UploadTooLarge(
                f"a document as JSON may have {limit:,} bytes", hint="send the file as it is, or as a form"
            )
        held.append(chunk)
    try:
        told = msgspec.json.decode(b"".join(held), type=Text)
        await spool.write(told.text.encode())
    except msgspec.ValidationError as error:
        raise BadInput(str(error), hint='send {"name": "...", "text": "..."}, or the file as it is') from None
    except (msgspec.DecodeError, UnicodeError) as error:
        raise Malformed(f"the body is not valid JSON: {error}", hint="send JSON in UTF-8") from None
    # JSON is UTF-8, so the text's bytes are too, whatever they look like.
    return Described(told.name, f"{told.media_type or 'text/plain'}; charset=utf-8", told.title, told.tags)


async def _form(chunks: AsyncIterator[bytes], boundary: str, spool: Spool) -> Described:
    reader, form = Multipart(boundary), _Form(spool)
    async for chunk in chunks:
        for piece in reader.feed(chunk):
            if isinstance(piece, Part):
                form.begin(piece)
            elif isinstance(piece, bytes):
                await form.take(piece)
            elif isinstance(piece, End):
                form.end()
    if not reader.is_over:
        raise Malformed("the form breaks off", hint="send it whole, as `curl -F file=@name` does")
    return form.described()


class _Form:
    """One file, and the fields `name`, `title` and `tags` beside it, in whatever order."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._file: Part | None = None
        self._part: Part | None = None
        self._field = b""
        self._fields: dict[str, list[str]] = {}

    def begin(self, part: Part) -> None:
        self._part, self._field = part, b""
        if part.filename is None:
            return
        if self._file is not None:
            raise BadUpload("the form has several files", hint="send one file a request")
        self._file = part

    async def take(self, data: bytes) -> None:
        if self._part is not None and self._part.filename is not None:
            await self._spool.write(data)
            return
        self._field += data
        if len(self._field) > MAX_FIELD:
            raise BadUpload("a field of the form is too long", hint=f"at most {MAX_FIELD} bytes are taken")

    def end(self) -> None:
        if self._part is not None and self._part.filename is None:
            self._fields.setdefault(self._part.name, []).append(self._field.decode("utf-8", "replace"))

    def described(self) -> Described:
        if self._file is None:
            raise BadUpload("the form has no file", hint="send it as `curl -F file=@name` does")
        return Described(
            self._last("name") or _plain_name(self._file.filename or ""),
            _meaningful(self._file.media_type),
            self._last("title"),
            split_tags(self._fields.get("tags", [])),
        )

    def _last(self, name: str) -> str:
        return self._fields.get(name, [""])[-1]


def split_tags(given: list[str] | tuple[str, ...]) -> tuple[str, ...]:
    """Tags that came one by one, or parted by commas."""
    return tuple(tag.strip() for each in given for tag in each.split(",") if tag.strip())


def named(header: Callable[[str], str], query: Mapping[str, str]) -> str:
    """A file's name from the query, else from X-Document-Name, percent-encoded as headers must be."""
    return query.get("name", "") or unquote(header("x-document-name"))


def _over(found: Described, told: Described) -> Described:
    """`found`, where `told` says nothing."""
    return Described(
        told.name or found.name, found.media_type, told.title or found.title, told.tags or found.tags
    )


def _meaningful(content_type: str) -> str:
    kind = content_type.partition(";")[0].strip().lower()
    return "" if kind in _ANYTHING else content_type.strip()


def _plain_name(filename: str) -> str:
    """A file's name without the folders that some clients send along."""
    return filename.replace("\\", "/").rpartition("/")[2]
