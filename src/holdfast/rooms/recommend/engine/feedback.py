"""What users did, taken in once each: durable before the answer goes out, visible in the very next one."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from holdfast.kernel.clock import Clock
from holdfast.kernel.codec import encode_json
from holdfast.kernel.context import note
from holdfast.kernel.ids import IdSource
from holdfast.ports.services import Meter
from holdfast.ports.storage import Sql, Transaction
from holdfast.ports.telling import Telling
from holdfast.rooms.recommend import store
from holdfast.rooms.recommend.engine.repeating import Repeating
from holdfast.rooms.recommend.engine.writing import add_events, items_of, users_of
from holdfast.rooms.recommend.rules.events import check_id, clamp_ms, event_id, weight_of
from holdfast.rooms.recommend.rules.problems import BadEvent, KeyReused, unknown_item

MAX_EVENTS = 1_000


class Action(msgspec.Struct, frozen=True):
    """One thing one user did with one item."""

    item_id: str
    type: str = "view"
    value: float | None = None
    """A rating's value, or a weight in place of the type's own."""
    at: float | str | None = None
    """Epoch seconds or ISO 8601; now when missing. The future counts as now."""
    id: str = ""
    """The caller's own id of the event: of two with the same id, one counts."""


class Receipt(msgspec.Struct, frozen=True):
    """What became of the events; a retry with the same key gets the same receipt."""

    user_id: str
    accepted: int
    duplicates: int
    event_ids: list[str]


class Feedback:
    """Takes actions in, one transaction a call."""

    def __init__(
        self,
        *,
        sql: Sql,
        clock: Clock,
        ids: IdSource,
        telling: Telling,
        meter: Meter,
        rating_scale: float,
        repeating: Repeating,
    ) -> None:
        self._sql = sql
        self._repeating = repeating
        self._clock = clock
        self._ids = ids
        self._telling = telling
        self._rating_scale = rating_scale
        self._counted = meter.counter(
            "holdfast_recommend_feedback_events_total",
            "Feedback events taken in, by type; calls of which nothing was new are not counted",
            ("type",),
        )
        self._repeated = meter.counter(
            "holdfast_recommend_feedback_duplicates_total", "Feedback events that were there already"
        ).labels()

    async def take(self, user_id: str, actions: Sequence[Action], key: str = "") -> Receipt:
        """Write the actions once; raises BadEvent, UnknownItem, KeyReused, and then nothing is written."""
        check_id("user_id", user_id)
        if not 1 <= len(actions) <= MAX_EVENTS:
            raise BadEvent(f"{len(actions)} events in one call", hint=f"send 1 to {MAX_EVENTS}")
        now_ms = int(self._clock.wall() * 1000)
        rows = [self._row(user_id, key, place, action, now_ms) for place, action in enumerate(actions)]
        stored_key = event_id("reply", user_id, key) if key else ""
        digest = hashlib.blake2b(encode_json(actions), digest_size=16).hexdigest()
        async with self._sql.transaction() as tx:
            if key:
                earlier = await _claim(tx, stored_key, digest, now_ms)
                if earlier is not None:
                    note(recommend_replayed=True)
                    return earlier
            receipt, new = await _write(tx, user_id, actions, rows)
            if key:
                await tx.run(store.FILL_REPLY, {"reply_key": stored_key, "filled": encode_json(receipt)})
        self._tell(actions, receipt, new)
        if receipt.accepted:
            await self._repeating.drop_user(user_id)
        return receipt

    def _row(self, user_id: str, key: str, place: int, action: Action, now_ms: int) -> dict[str, object]:
        weight = weight_of(action.type, action.value, rating_scale=self._rating_scale)
        check_id("item_id", action.item_id)
        if action.id:
            name = event_id("own", user_id, action.id)
        elif key:
            name = event_id("key", user_id, key, place)
        else:
            name = self._ids.sortable(now_ms / 1000)
        return {
            "event_id": name,
            "kind": action.type,
            "weight": weight,
            "at_ms": clamp_ms(moment_ms(action.at), now_ms),
            "received_ms": now_ms,
        }

    def _tell(self, actions: Sequence[Action], receipt: Receipt, new: set[str]) -> None:
        """Count each event that was new, once: a click that is sent again is no second click."""
        note(recommend_events=receipt.accepted, recommend_duplicates=receipt.duplicates)
        self._repeated.add(receipt.duplicates)
        for action, name in zip(actions, receipt.event_ids, strict=True):
            if name in new:
                new.remove(name)
                self._counted.labels(action.type).add()
                self._telling.tell(action.type, receipt.user_id, item_id=action.item_id, value=action.value)


async def _claim(tx: Transaction, key: str, digest: str, now_ms: int) -> Receipt | None:
    """Take the key for this call, or the receipt of who had it; waits for a rival's transaction."""
    claim = {"key": key, "digest": digest, "answer": b"", "at_ms": now_ms}
    if await tx.run(store.KEEP_REPLY, claim):
        return None
    kept_digest, answer = (await tx.fetch(store.FIND_REPLY, {"key": key}))[0]
    if kept_digest != digest:
        raise KeyReused(
            "this idempotency key was used with other events", hint="use a new key for each new request"
        )
    return msgspec.json.decode(answer, type=Receipt)


async def _write(
    tx: Transaction, user_id: str, actions: Sequence[Action], rows: Sequence[dict[str, object]]
) -> tuple[Receipt, set[str]]:
    numbers: Mapping[str, int] = await items_of(tx, [action.item_id for action in actions], create=False)
    for action in actions:
        if action.item_id not in numbers:
            raise unknown_item(action.item_id)
    user_no = (await users_of(tx, [user_id]))[user_id]
    for action, row in zip(actions, rows, strict=True):
        row["user_no"] = user_no
        row["item_no"] = numbers[action.item_id]
    new = await add_events(tx, rows)
    names = [str(row["event_id"]) for row in rows]
    return Receipt(user_id, len(new), len(rows) - len(new), names), new


def moment_ms(at: float | str | None) -> int | None:
    """Milliseconds since the epoch from epoch seconds or ISO 8601 text (without a zone: UTC)."""
    if at is None or at == "":
        return None
    try:
        if isinstance(at, str):
            moment = datetime.fromisoformat(at)
            return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
        return int(at * 1000)
    except (ValueError, OverflowError):
        raise BadEvent(f"{at!r} is not a time", hint="send epoch seconds or ISO 8601") from None
