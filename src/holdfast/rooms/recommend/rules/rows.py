"""One line of a file as one item or one interaction, whatever the file calls its columns."""

import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from holdfast.kernel.errors import Problem
from holdfast.rooms.recommend.rules.eligibility import NEVER_MS, UNLIMITED
from holdfast.rooms.recommend.rules.events import check_id, event_id, weight_of

INTERACTION_NAMES: Mapping[str, tuple[str, ...]] = {
    "user": (
        "user",
        "user_id",
        "userid",
        "uid",
        "customer",
        "customer_id",
        "member",
        "member_id",
        "사용자",
        "회원",
    ),
    "item": (
        *("item", "item_id", "itemid", "product", "product_id", "productid", "movie", "movie_id", "movieid"),
        *("sku", "asin", "isbn", "track_id", "business_id", "location", "location_id", "상품", "아이템"),
    ),
    "rating": ("rating", "score", "stars", "평점", "별점"),
    "weight": ("weight", "count", "strength", "quantity", "value", "가중치"),
    "time": (
        "time",
        "timestamp",
        "at",
        "date",
        "datetime",
        "created_at",
        "unixtime",
        "ts",
        "event_time",
        "시간",
    ),
    "type": ("type", "event", "event_type", "action", "behavior", "kind", "유형"),
}
ITEM_NAMES: Mapping[str, tuple[str, ...]] = {
    "item": ("item_id", "id", "item", "itemid", *INTERACTION_NAMES["item"][3:]),
    "name": ("name", "title", "item_name", "product_name", "이름", "제목", "상품명"),
    "text": ("text", "description", "overview", "summary", "content", "설명"),
    "tags": ("tags", "genres", "genre", "categories", "category", "keywords", "labels", "태그", "분류"),
    "stock": ("stock", "inventory", "in_stock", "available", "재고"),
    "expires": ("expires", "expires_at", "valid_until", "expiry", "end_date", "만료"),
    "hidden": ("hidden", "disabled", "inactive", "숨김"),
}
NO_HEADER = ("user", "item", "rating", "time")
"""What the columns of an interactions file without a header are, as in MovieLens' u.data."""


class BadRow(ValueError):
    """This line cannot be taken; the text says why."""


class BadColumns(Problem):
    """The file's columns do not say what is needed."""

    code = "recommend-bad-columns"
    status = 422


class Interaction(NamedTuple):
    """One line of an interactions file."""

    event_id: str
    user_id: str
    item_id: str
    kind: str
    weight: float
    at_ms: int | None


class ItemRow(NamedTuple):
    """One line of an items file."""

    item_id: str
    name: str
    text: str
    tags: tuple[str, ...]
    stock: int
    expires_ms: int
    hidden: bool


def find_columns(
    header: Sequence[str],
    names: Mapping[str, tuple[str, ...]],
    asked: Mapping[str, str],
    needed: Sequence[str],
) -> dict[str, int]:
    """Where each field stands in the header; `asked` names or numbers (from 1) columns and wins.

    Raises BadColumns with the header it saw when a needed field has no column.
    """
    plain = [_plain(name) for name in header]
    found: dict[str, int] = {}
    for field, known in names.items():
        wanted = asked.get(field)
        if wanted is not None:
            found[field] = _column(wanted, plain, header)
            continue
        place = next((plain.index(name) for name in known if name in plain), None)
        if place is not None and place not in found.values():
            found[field] = place
    for field in needed:
        if field not in found:
            shown = ", ".join(header)[:200]
            hint = f"name it with --{field} COLUMN, or say --no-header if the first line is data already"
            raise BadColumns(f"no column for the {field} among: {shown}", hint=hint)
    return found


def _column(wanted: str, plain: Sequence[str], header: Sequence[str]) -> int:
    if _plain(wanted) in plain:
        return plain.index(_plain(wanted))
    if wanted.isdecimal() and 1 <= int(wanted) <= len(header):
        return int(wanted) - 1
    shown = ", ".join(header)[:200]
    raise BadColumns(
        f"there is no column {wanted!r} among: {shown}", hint="give its name, or its number from 1"
    )


def _plain(name: str) -> str:
    return re.sub(r"[^\w]+", "_", name.strip().casefold()).strip("_")


def interaction(
    cells: Mapping[str, str], *, rating_scale: float, min_rating: float | None, now_ms: int
) -> Interaction:
    """The interaction that a line's cells (by field) say; raises BadRow."""
    try:
        user_id = check_id("user", _cell(cells, "user"))
        item_id = check_id("item", _cell(cells, "item"))
        rating, weight = _number(cells, "rating"), _number(cells, "weight")
        kind = cells.get("type", "").strip().casefold() or ("rating" if rating is not None else "view")
        value = rating if kind == "rating" else weight
        worth = weight_of(kind, value, rating_scale=rating_scale, min_rating=min_rating)
        at_ms = moment(cells.get("time", ""))
    except Problem as problem:
        raise BadRow(f"{problem.detail}; {problem.hint}") from None
    name = event_id("import", user_id, item_id, kind, value, at_ms)
    return Interaction(name, user_id, item_id, kind, worth, None if at_ms is None else min(at_ms, now_ms))


def item(cells: Mapping[str, str | Sequence[str]]) -> ItemRow:
    """The item that a line's cells (by field) say; raises BadRow."""
    plain = {key: value for key, value in cells.items() if isinstance(value, str)}
    try:
        item_id = check_id("item", _cell(plain, "item"))
    except Problem as problem:
        raise BadRow(f"{problem.detail}; {problem.hint}") from None
    given = cells.get("tags", "")
    tags = split_tags(given) if isinstance(given, str) else tuple(str(tag).strip() for tag in given)
    return ItemRow(
        item_id=item_id,
        name=_storable("name", plain.get("name", "")),
        text=_storable("text", plain.get("text", "")),
        tags=tuple(dict.fromkeys(_storable("tags", tag) for tag in tags if tag)),
        stock=_stock(plain.get("stock", "")),
        expires_ms=_or_never(moment(plain.get("expires", ""))),
        hidden=_claim("hidden", plain.get("hidden", "")),
    )


def split_tags(text: str) -> tuple[str, ...]:
    """Tags out of one cell: separated by `|`, else `;`, else `,`."""
    for separator in "|;,":
        if separator in text:
            return tuple(part.strip() for part in text.split(separator))
    return (text.strip(),)


def moment(text: str) -> int | None:
    """Milliseconds since the epoch from epoch seconds (or ms, µs, by size) or ISO 8601; None for empty."""
    text = text.strip()
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        try:
            found = datetime.fromisoformat(text)
        except ValueError:
            raise BadRow(f"{text[:40]!r} is not a time; write epoch seconds or ISO 8601") from None
        return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1000)
    if not math.isfinite(number) or number < 0:
        raise BadRow(f"{text[:40]!r} is not a time; write epoch seconds or ISO 8601")
    # Seconds stay below 1e11 until the year 5138, milliseconds below 1e14.
    scale = 1000.0 if number < 1e11 else 1.0 if number < 1e14 else 0.001
    if number * scale >= NEVER_MS:
        raise BadRow(f"{text[:40]!r} is beyond every calendar")
    return int(number * scale)


def _cell(cells: Mapping[str, str], field: str) -> str:
    value = cells.get(field, "").strip()
    if not value:
        raise BadRow(f"the {field} is missing")
    return value


def _storable(field: str, text: str) -> str:
    """Text that every database can hold; JSON can write a NUL or half a surrogate pair."""
    if "\0" in text:
        raise BadRow(f"the {field} holds a NUL character")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise BadRow(f"the {field} holds half a surrogate pair") from None
    return text.strip()


def _number(cells: Mapping[str, str], field: str) -> float | None:
    text = cells.get(field, "").strip()
    if not text:
        return None
    try:
        return float(text)
    except ValueError:
        raise BadRow(f"the {field} {text[:40]!r} is not a number") from None


def _stock(text: str) -> int:
    text = text.strip()
    if not text:
        return UNLIMITED
    if text.casefold() in _YES | _NO:
        return UNLIMITED if text.casefold() in _YES else 0
    try:
        number = int(float(text))
    except (ValueError, OverflowError):
        raise BadRow(f"the stock {text[:40]!r} is not a number") from None
    return min(max(number, UNLIMITED), 1 << 40)


_YES = frozenset({"true", "yes", "y", "t"})
_NO = frozenset({"false", "no", "n", "f"})


def _claim(field: str, text: str) -> bool:
    text = text.strip().casefold()
    if text in _YES | {"1"}:
        return True
    if text in _NO | {"", "0"}:
        return False
    raise BadRow(f"{field} is {text[:40]!r}; write true or false")


def _or_never(at_ms: int | None) -> int:
    return NEVER_MS if at_ms is None else at_ms
