"""Files into the catalogue and the log: streamed, batched, idempotent; refused rows go beside the file."""

import sys
from collections import ChainMap
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import msgspec

from holdfast.kernel.clock import Clock
from holdfast.kernel.codec import encode_json, plain
from holdfast.ports.storage import Sql
from holdfast.rooms.recommend.engine.reading import Line, Source
from holdfast.rooms.recommend.engine.writing import Item, add_events, items_of, save_items, users_of
from holdfast.rooms.recommend.rules.rows import (
    INTERACTION_NAMES,
    ITEM_NAMES,
    NO_HEADER,
    BadRow,
    Interaction,
    find_columns,
    interaction,
    item,
)

BATCH = 5_000
_OF_TEXT = frozenset({"csv", "tsv", "adjacency"})
_BAR = 28
_REDRAW_S = 0.2


class Plan(msgspec.Struct, frozen=True):
    """How to read an interactions file."""

    columns: Mapping[str, str] = {}
    """Field to column, by name or by number from 1."""
    header: bool = True
    min_rating: float | None = None
    strict_items: bool = False
    rating_scale: float = 5.0


class Tally(msgspec.Struct):
    """What an import came to."""

    rows: int = 0
    added: int = 0
    changed: int = 0
    same: int = 0
    rejected: int = 0
    rejects: str = ""
    """The file of rejected rows; empty when there is none."""


class Rejects:
    """`FILE.rejected.jsonl`: line number, reason and the row as it was, one JSON object a line."""

    def __init__(self, path: Path) -> None:
        self.path = path.with_name(path.name + ".rejected.jsonl")
        self.path.unlink(missing_ok=True)
        self.count = 0
        self._file: Any = None

    def add(self, number: int, reason: str, raw: str) -> None:
        if self._file is None:
            self._file = self.path.open("wb")
        self.count += 1
        self._file.write(encode_json({"line": number, "reason": reason, "row": plain(raw[:2_000])}) + b"\n")

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


class Progress:
    """A bar on stderr while a person looks; silent in a pipe."""

    def __init__(self, clock: Clock, source: Source, out: TextIO | None = None) -> None:
        self._clock = clock
        self._source = source
        self._out = out or sys.stderr
        self._drawn_at = 0.0
        self._began = clock.monotonic()

    def show(self, rows: int, *, last: bool = False) -> None:
        now = self._clock.monotonic()
        if not self._out.isatty() or (not last and now - self._drawn_at < _REDRAW_S):
            return
        self._drawn_at = now
        share = min(1.0, self._source.done_bytes / max(1, self._source.size_bytes))
        bar = "█" * int(share * _BAR)
        pace = rows / max(now - self._began, 1e-3)
        self._out.write(f"\r{bar:<{_BAR}} {share:4.0%}  {rows:,} rows  {pace:,.0f}/s " + "\n" * last)
        self._out.flush()


async def import_items(sql: Sql, clock: Clock, source: Source, columns: Mapping[str, str]) -> Tally:
    """Every item of the file; raises Unreadable or BadColumns before anything is written."""
    tally = Tally()

    async def write(lines: Sequence[tuple[Line, Item]]) -> None:
        saved = await save_items(sql, [found for _, found in lines])
        tally.added += saved.added
        tally.changed += saved.changed
        tally.same += len(lines) - saved.added - saved.changed

    def parse(cells: Mapping[str, Any]) -> Item:
        return Item(*item({key: _text_or_list(value) for key, value in cells.items()}))

    def rows(rejects: Rejects) -> Iterator[tuple[Line, Mapping[str, Any]]]:
        return _by_field(source, rejects, ITEM_NAMES, columns, ("item",), header=True)

    return await _import(clock, source, tally, rows, parse, write)


async def import_interactions(sql: Sql, clock: Clock, source: Source, plan: Plan) -> Tally:
    """Every interaction of the file; the same file twice leaves the same log."""
    tally = Tally()
    now_ms = int(clock.wall() * 1000)
    known_users: dict[str, int] = {}
    known_items: dict[str, int] = {}
    refused: list[tuple[Line, str]] = []

    async def write(lines: Sequence[tuple[Line, Interaction]]) -> None:
        async with sql.transaction() as tx:
            new_items = [found.item_id for _, found in lines if found.item_id not in known_items]
            found_items = await items_of(tx, new_items, create=not plan.strict_items)
            items = ChainMap(found_items, known_items)
            kept = [(line, found) for line, found in lines if found.item_id in items]
            new_users = [found.user_id for _, found in kept if found.user_id not in known_users]
            found_users = await users_of(tx, new_users)
            users = ChainMap(found_users, known_users)
            events = [_event(found, users, items, now_ms) for _, found in kept]
            added = len(await add_events(tx, events))
        known_items.update(found_items)
        known_users.update(found_users)
        refused.extend(
            (line, f"item {found.item_id!r} is not in the catalogue; import it, or leave --strict-items out")
            for line, found in lines
            if found.item_id not in items
        )
        tally.added += added
        tally.same += len(kept) - added

    def parse(cells: Mapping[str, Any]) -> Interaction:
        return interaction(
            cells if source.form in _OF_TEXT else {key: _text(value) for key, value in cells.items()},
            rating_scale=plan.rating_scale,
            min_rating=plan.min_rating,
            now_ms=now_ms,
        )

    def rows(rejects: Rejects) -> Iterator[tuple[Line, Mapping[str, Any]]]:
        if source.form == "adjacency":
            return _pairs(source, rejects)
        return _by_field(
            source, rejects, INTERACTION_NAMES, plan.columns, ("user", "item"), header=plan.header
        )

    return await _import(clock, source, tally, rows, parse, write, refused)


async def _import(
    clock: Clock,
    source: Source,
    tally: Tally,
    rows: Callable[[Rejects], Iterator[tuple[Line, Mapping[str, Any]]]],
    parse: Callable[[Mapping[str, Any]], Any],
    write: Callable[[Sequence[tuple[Line, Any]]], Awaitable[None]],
    refused: list[tuple[Line, str]] | None = None,
) -> Tally:
    rejects, progress = Rejects(source.path), Progress(clock, source)
    batch: list[tuple[Line, Any]] = []
    late = refused if refused is not None else []

    async def flush() -> None:
        if batch:
            await write(batch)
            batch.clear()
        for line, reason in late:
            rejects.add(line.number, reason, line.raw or str(line.cells))
        late.clear()
        progress.show(tally.rows)

    try:
        for line, cells in rows(rejects):
            try:
                batch.append((line, parse(cells)))
            except BadRow as error:
                rejects.add(line.number, str(error), line.raw or str(cells))
            tally.rows += 1
            if len(batch) >= BATCH:
                await flush()
        await flush()
    finally:
        rejects.close()
    tally.rejected = rejects.count
    tally.rejects = str(rejects.path) if rejects.count else ""
    progress.show(tally.rows, last=True)
    return tally


def _by_field(
    source: Source,
    rejects: Rejects,
    names: Mapping[str, tuple[str, ...]],
    asked: Mapping[str, str],
    needed: Sequence[str],
    *,
    header: bool,
) -> Iterator[tuple[Line, Mapping[str, Any]]]:
    """Each good line as field -> cell; the header is found in the first line or in a record's own keys."""
    places: dict[str, int] = {}
    known_keys: Sequence[str] = ()
    width = 0
    for line in source.lines():
        if line.reason:
            rejects.add(line.number, line.reason, line.raw)
            continue
        if isinstance(line.cells, Mapping):
            keys = list(line.cells)
            if keys != known_keys:
                known_keys, places = keys, _columns_of_record(keys, names, asked, needed, first=not places)
            values = list(line.cells.values())
            yield line, {field: values[place] for field, place in places.items()}
            continue
        if not places:
            width = len(line.cells)
            titles = list(line.cells) if header else _without_header(width, asked)
            places = find_columns(titles, names, asked, needed)
            if header:
                continue
        cells = line.cells
        if len(cells) != width and not _fits(cells, width, max(places[field] for field in needed)):
            rejects.add(line.number, f"has {len(cells)} columns, not {width}", line.raw)
            continue
        yield line, {field: cells[place] for field, place in places.items() if place < len(cells)}


def _without_header(width: int, asked: Mapping[str, str]) -> list[str]:
    """Names for columns that have none: MovieLens' order, unless somebody says where user or item stands."""
    known = [] if "user" in asked or "item" in asked else list(NO_HEADER[:width])
    return known + ["-"] * (width - len(known))


def _fits(cells: Sequence[str], width: int, last_needed: int) -> bool:
    """A row may end early, behind what is needed, or with separators and nothing between them."""
    if len(cells) < width:
        return len(cells) > last_needed
    return not any(cell.strip() for cell in cells[width:])


def _columns_of_record(
    keys: Sequence[str],
    names: Mapping[str, tuple[str, ...]],
    asked: Mapping[str, str],
    needed: Sequence[str],
    *,
    first: bool,
) -> dict[str, int]:
    """Of a JSON object or a Parquet row. Only the first decides whether the file can be read: a later one
    without a needed key is a bad row, which its missing cell says."""
    present = {field: name for field, name in asked.items() if first or name in keys}
    return find_columns(keys, names, present, needed if first else ())


def _pairs(source: Source, rejects: Rejects) -> Iterator[tuple[Line, Mapping[str, Any]]]:
    """`user item item ...` a line, as the LightGCN data sets are written."""
    for line in source.lines():
        if line.reason:
            rejects.add(line.number, line.reason, line.raw)
            continue
        user, *items = list(line.cells)
        for item_id in items:
            yield Line(line.number, (user, item_id), raw=f"{user} {item_id}"), {"user": user, "item": item_id}


def _event(
    found: Interaction, users: Mapping[str, int], items: Mapping[str, int], now_ms: int
) -> dict[str, object]:
    return {
        "event_id": found.event_id,
        "user_no": users[found.user_id],
        "item_no": items[found.item_id],
        "kind": found.kind,
        "weight": found.weight,
        "at_ms": now_ms if found.at_ms is None else found.at_ms,
        "received_ms": now_ms,
    }


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else str(value)


def _text_or_list(value: Any) -> str | list[str]:
    return [_text(one) for one in value] if isinstance(value, list | tuple) else _text(value)
