"""Files as numbered lines: CSV, TSV, JSON lines, adjacency, Parquet. A bad line spoils only itself."""

import codecs
import csv
import os
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import msgspec

from holdfast.kernel.errors import Problem

MAX_LINE = 1 << 20
"""Bytes of one line, or of one quoted record over several lines."""
MAX_QUOTED_LINES = 100
"""A quote that is not closed within this many lines is a lone quote, not a long field."""
UNCLOSED = "a quote is opened and never closed"
FORMATS = ("csv", "tsv", "jsonl", "parquet", "adjacency")
_SUFFIXES = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}


class Unreadable(Problem):
    """The file cannot be read at all."""

    code = "recommend-unreadable-file"
    status = 422


class Line(NamedTuple):
    """One record: its cells, or why it has none."""

    number: int
    cells: Sequence[str] | Mapping[str, Any] = ()
    reason: str = ""
    raw: str = ""


class Source:
    """A file being read. `done_bytes` of `size_bytes` tell how far."""

    def __init__(self, path: Path, form: str = "", delimiter: str = "") -> None:
        """Raises Unreadable when the file is not there, empty, or in an encoding other than UTF-8."""
        self.path = path
        self.done_bytes = 0
        try:
            self.size_bytes = os.stat(path).st_size  # noqa: PTH116 - the size of what open() opens, one call
            with path.open("rb") as file:
                head = file.read(65_536)
        except OSError as error:
            raise Unreadable(
                f"{path}: {error.strerror}", hint="give the path of a file you may read"
            ) from None
        if not head:
            raise Unreadable(f"{path} is empty", hint="nothing was changed; give a file with lines in it")
        if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise Unreadable(f"{path} is UTF-16", hint=f"iconv -f UTF-16 -t UTF-8 {path.name}")
        self.form = form or _SUFFIXES.get(path.suffix.lower(), "") or _guess(head)
        self.delimiter = delimiter or ("\t" if self.form == "tsv" else _separator(head))

    def lines(self) -> Iterator[Line]:
        """Every record in order; the generator closes the file."""
        if self.form == "parquet":
            yield from _parquet(self)
            return
        with self.path.open("rb") as file:
            texts = _Texts(self, file)
            if self.form == "jsonl":
                yield from _json_lines(texts)
            elif self.form == "adjacency":
                yield from _split_lines(texts, None)
            elif self.form == "csv" and len(self.delimiter) == 1:
                yield from _quoted_lines(texts, self.delimiter)
            else:
                yield from _split_lines(texts, self.delimiter)


class _Texts:
    """Physical lines as text; one may be put back."""

    def __init__(self, source: Source, file: BinaryIO) -> None:
        self._source = source
        self._file = file
        self._number = 0
        self._back: list[Line] = []

    def put_back(self, lines: Sequence[Line]) -> None:
        self._back = [*lines, *self._back]

    def next(self) -> Line | None:
        """The next line that is not blank: its text in `raw`, or a reason; None at the end."""
        while not self._back:
            raw = self._file.readline(MAX_LINE + 1)
            if not raw:
                return None
            self._number += 1
            line = self._decoded(raw)
            self._source.done_bytes = self._file.tell()
            if line.raw.strip() or line.reason:
                return line
        return self._back.pop(0)

    def _decoded(self, raw: bytes) -> Line:
        if len(raw) > MAX_LINE and not raw.endswith(b"\n"):
            while (rest := self._file.readline(MAX_LINE)) and not rest.endswith(b"\n"):
                pass
            return Line(self._number, reason=f"longer than {MAX_LINE} bytes", raw=_shown(raw))
        if self._number == 1:
            raw = raw.removeprefix(codecs.BOM_UTF8)
        if b"\0" in raw:
            return Line(self._number, reason="holds a NUL byte", raw=_shown(raw))
        try:
            text = raw.decode()
        except UnicodeDecodeError as error:
            return Line(self._number, reason=f"is not UTF-8 at byte {error.start + 1}", raw=_shown(raw))
        return Line(self._number, raw=text.rstrip("\r\n"))


def _split_lines(texts: _Texts, delimiter: str | None) -> Iterator[Line]:
    while (line := texts.next()) is not None:
        yield line if line.reason else line._replace(cells=line.raw.split(delimiter))


def _quoted_lines(texts: _Texts, delimiter: str) -> Iterator[Line]:
    while (line := texts.next()) is not None:
        if line.reason:
            yield line
        elif '"' not in line.raw:
            yield line._replace(cells=line.raw.split(delimiter))
        else:
            yield _record(texts, line, delimiter)


def _record(texts: _Texts, first: Line, delimiter: str) -> Line:
    """A record with quotes, over as many lines as its quotes span (RFC 4180)."""
    text, taken = first.raw, [first]
    while True:
        try:
            return first._replace(cells=next(csv.reader([text], delimiter=delimiter, strict=True)), raw=text)
        except csv.Error as error:
            if "unexpected end of data" not in str(error):
                texts.put_back(taken[1:])
                why = f"is not valid CSV: {error}" if len(taken) == 1 else UNCLOSED
                return first._replace(reason=why)
        following = texts.next()
        if following is not None and not following.reason:
            taken.append(following)
            text += "\n" + following.raw
            if len(taken) <= MAX_QUOTED_LINES and len(text) <= MAX_LINE:
                continue
        elif following is not None:
            taken.append(following)
        # The quote was never closed: only the line it stands in is lost, the others are read anew.
        texts.put_back(taken[1:])
        return first._replace(reason=UNCLOSED)


def _json_lines(texts: _Texts) -> Iterator[Line]:
    decode = msgspec.json.Decoder(dict[str, Any]).decode
    while (line := texts.next()) is not None:
        if line.reason:
            yield line
            continue
        try:
            yield line._replace(cells=decode(line.raw))
        except (msgspec.DecodeError, RecursionError) as error:
            yield line._replace(reason=f"is not a JSON object: {error}")


def _parquet(source: Source) -> Iterator[Line]:
    if find_spec("duckdb") is None:
        raise Unreadable("Parquet needs DuckDB", hint="pip install 'holdfast[analytics]'")
    import duckdb

    try:
        with duckdb.connect() as connection:
            found = connection.execute("SELECT * FROM read_parquet(?)", [str(source.path)])
            names = [column[0] for column in found.description or ()]
            number = 0
            while rows := found.fetchmany(5_000):
                for row in rows:
                    number += 1
                    yield Line(number, dict(zip(names, row, strict=True)))
    except duckdb.Error as error:
        said = str(error).splitlines()[0][:200]
        raise Unreadable(f"{source.path} is not readable Parquet: {said}", hint="write it again") from None
    source.done_bytes = source.size_bytes


def _guess(head: bytes) -> str:
    if head.startswith(b"PAR1"):
        return "parquet"
    first = head.removeprefix(codecs.BOM_UTF8).lstrip()[:1]
    if first == b"{":
        return "jsonl"
    return "tsv" if b"\t" in head.split(b"\n", 1)[0] else "csv"


def _separator(head: bytes) -> str:
    line = head.split(b"\n", 1)[0].decode("utf-8", "replace")
    if "::" in line:
        return "::"
    return max(",;|\t", key=line.count)


def _shown(raw: bytes) -> str:
    return raw[:200].decode("utf-8", "backslashreplace").rstrip("\r\n")
