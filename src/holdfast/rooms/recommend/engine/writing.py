"""Items, users and events into SQL, each known by its id and numbered once."""

from collections.abc import Iterable, Sequence

import msgspec

from holdfast.kernel.codec import encode_json
from holdfast.ports.storage import Parameters, Sql, Transaction
from holdfast.rooms.recommend import store
from holdfast.rooms.recommend.rules.eligibility import NEVER_MS, UNLIMITED

BATCH = 8_000
"""Ids looked up in one statement."""


class Item(msgspec.Struct, frozen=True):
    """One thing that can be recommended."""

    item_id: str
    name: str = ""
    text: str = ""
    tags: tuple[str, ...] = ()
    stock: int = UNLIMITED
    expires_ms: int = NEVER_MS
    hidden: bool = False

    def row(self) -> dict[str, object]:
        return {
            "item_id": self.item_id,
            "name": self.name,
            "text": self.text,
            "tags": encode_json(self.tags).decode(),
            "stock": self.stock,
            "expires_ms": self.expires_ms,
            "hidden": int(self.hidden),
        }


class Saved(msgspec.Struct):
    """What a batch of items came to."""

    added: int = 0
    changed: int = 0
    same: int = 0


async def save_items(sql: Sql, items: Sequence[Item]) -> Saved:
    """Insert new items, update changed ones, leave equal ones alone; of one id the last counts."""
    saved = Saved()
    rows = {item.item_id: item.row() for item in items}
    for ids in _parts(list(rows)):
        async with sql.transaction() as tx:
            await _lock_catalogue(tx)
            found = await tx.fetch(store.ITEMS_OF, {"item_ids": ids})
            known = {row[1]: row for row in found}
            new = [key for key in ids if key not in known]
            moved = [key for key in ids if key in known and tuple(rows[key].values()) != known[key][1:]]
            numbers = await _numbers(tx, "next_item", len(new))
            changes: list[Parameters] = [
                {"item_no": number, **rows[key]} for number, key in zip(numbers, new, strict=True)
            ]
            changes += [{"item_no": known[key][0], **rows[key]} for key in moved]
            await _write_items(tx, changes)
        saved.added += len(new)
        saved.changed += len(moved)
        saved.same += len(ids) - len(new) - len(moved)
    return saved


async def items_of(tx: Transaction, ids: Iterable[str], *, create: bool) -> dict[str, int]:
    """The numbers of items; `create` adds the unknown ones with nothing but their id."""
    wanted = list(dict.fromkeys(ids))
    known: dict[str, int] = {}
    for part in _parts(wanted):
        known.update({row[1]: row[0] for row in await tx.fetch(store.ITEMS_OF, {"item_ids": part})})
    if not create or len(known) == len(wanted):
        return known
    await _lock_catalogue(tx)
    missing = [key for key in wanted if key not in known]
    for part in _parts(missing):
        known.update({row[1]: row[0] for row in await tx.fetch(store.ITEMS_OF, {"item_ids": part})})
    missing = [key for key in missing if key not in known]
    numbers = await _numbers(tx, "next_item", len(missing))
    new = [{"item_no": number, **Item(key).row()} for number, key in zip(numbers, missing, strict=True)]
    await _write_items(tx, new)
    known.update({key: number for number, key in zip(numbers, missing, strict=True)})
    return known


async def users_of(tx: Transaction, ids: Iterable[str]) -> dict[str, int]:
    """The numbers of users; unknown ones are added."""
    wanted = list(dict.fromkeys(ids))
    known = await _known_users(tx, wanted)
    if len(known) == len(wanted):
        return known
    # Taking the counter makes every other creator of users wait, so a second look is exact.
    await tx.run(store.BUMP, {"counter": "next_user", "by": 0})
    known.update(await _known_users(tx, [key for key in wanted if key not in known]))
    missing = [key for key in wanted if key not in known]
    numbers = await _numbers(tx, "next_user", len(missing))
    await tx.run_many(
        store.ADD_USER,
        [
            {"user_no": number, "user_id": key, "revision": 0, "interests": "[]", "segment": ""}
            for number, key in zip(numbers, missing, strict=True)
        ],
    )
    known.update({key: number for number, key in zip(numbers, missing, strict=True)})
    return known


async def add_events(tx: Transaction, rows: Sequence[Parameters]) -> set[str]:
    """Append events, once each by their id, and move the revision of their users; the ids that were new."""
    if not rows:
        return set()
    # First, and in order: whoever appends for one of these users waits here, so what is known stays so.
    users = sorted({row["user_no"] for row in rows})
    await tx.run_many(store.TOUCH_USER, [{"number": number} for number in users])
    ids = {str(row["event_id"]) for row in rows}
    known = await tx.fetch(store.EVENTS_KNOWN, {"event_ids": list(ids)})
    await tx.run_many(store.ADD_EVENT, rows)
    return ids - {str(row[0]) for row in known}


async def save_persona(sql: Sql, user_id: str, interests: Sequence[str] | None, segment: str | None) -> None:
    """Remember what somebody declared, from the next request on; None keeps what was declared before."""
    async with sql.transaction() as tx:
        number = (await users_of(tx, [user_id]))[user_id]
        wishes = None if interests is None else encode_json(list(interests)).decode()
        await tx.run(store.SAVE_PERSONA, {"number": number, "wishes": wishes, "group_name": segment})


async def _lock_catalogue(tx: Transaction) -> None:
    """Make every other writer of items wait: versions then become visible in their order."""
    await tx.run(store.BUMP, {"counter": "catalogue", "by": 0})


async def _write_items(tx: Transaction, rows: Sequence[Parameters]) -> None:
    if not rows:
        return
    await tx.run(store.BUMP, {"counter": "catalogue", "by": 1})
    version = (await tx.fetch(store.READ_COUNTER, {"counter": "catalogue"}))[0][0]
    await tx.run_many(store.SAVE_ITEM, [{**row, "version": version} for row in rows])


async def _numbers(tx: Transaction, counter: str, count: int) -> range:
    if count == 0:
        return range(0)
    await tx.run(store.BUMP, {"counter": counter, "by": count})
    end = (await tx.fetch(store.READ_COUNTER, {"counter": counter}))[0][0]
    return range(end - count, end)


async def _known_users(tx: Transaction, ids: Sequence[str]) -> dict[str, int]:
    known: dict[str, int] = {}
    for part in _parts(ids):
        known.update({row[0]: row[1] for row in await tx.fetch(store.USERS_OF, {"user_ids": part})})
    return known


def _parts(ids: Sequence[str]) -> Iterable[list[str]]:
    return (list(ids[start : start + BATCH]) for start in range(0, len(ids), BATCH))
