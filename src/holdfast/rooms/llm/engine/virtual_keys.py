"""Virtual keys as the gateway asks for them: from memory for a few seconds, never once they are revoked."""

import asyncio
import hmac
import logging
import secrets
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TypeVar

from holdfast.kernel.clock import Clock
from holdfast.kernel.errors import Unavailable
from holdfast.kernel.tasks import Supervisor
from holdfast.ports.services import Meter
from holdfast.ports.shared import Shared, SharedRefused
from holdfast.rooms.llm.rules.denials import KeyDisabled, KeyExpired, NoSuchKey, UnknownKey
from holdfast.rooms.llm.rules.virtual_keys import (
    SHOWN,
    Admitted,
    NewKey,
    VirtualKey,
    admitted,
    check_new,
    digest_of,
    is_well_formed,
    new_secret,
)
from holdfast.rooms.llm.store.virtual_keys import CHANNEL, KeyStore

logger = logging.getLogger("holdfast.llm")

_FRESH_S = 5.0
_LOOK_S = 1.0
_GRACE_S = 300.0
_MOST = 10_000
_MOST_UNKNOWN = 10_000

T = TypeVar("T")


class VirtualKeys:
    """Makes, finds and revokes keys.

    A key that was looked up is good for 5 s in memory, found or not. Once a second the process asks whether
    anything has changed, and with a shared store it is told at once: a revoked key stops everywhere within
    2 s. While the database is away, keys that are known stay good for 5 minutes; others get 503.
    """

    def __init__(
        self,
        store: KeyStore,
        clock: Clock,
        meter: Meter,
        new_id: Callable[[], str],
        *,
        shared: Shared | None = None,
        bits: Callable[[int], int] = secrets.randbits,
    ) -> None:
        self._store = store
        self._clock = clock
        self._new_id = new_id
        self._shared = shared
        self._bits = bits
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._unknown: OrderedDict[str, float] = OrderedDict()
        self._looking: dict[tuple[int, str], asyncio.Task[Admitted | None]] = {}
        """By the change before which they began: nobody who comes after one joins a look from before it."""
        self._revision = -1
        self._changes = 0
        self._leave: Callable[[], None] | None = None
        self._refused = meter.counter(
            "holdfast_llm_key_refused_total",
            "Calls whose API key was not good: malformed, unknown, expired, disabled.",
            ("reason",),
        )

    def start(self, supervisor: Supervisor) -> None:
        """Begin to watch for changes."""
        supervisor.every("llm keys", _LOOK_S, self.look)
        if self._shared is not None:
            self._leave = self._shared.subscribe(CHANNEL, self)

    def stop(self) -> None:
        """Watch no more."""
        if self._leave is not None:
            self._leave()
            self._leave = None

    # -- asking ----------------------------------------------------------------------------------------

    async def authenticate(self, secret: str) -> Admitted:
        """The key, found good now. Raises UnknownKey, KeyDisabled, KeyExpired (401), Unavailable (503)."""
        digest = digest_of(secret)
        now = self._clock.monotonic()
        entry = self._known.get(digest)
        found = entry.admitted if entry is not None and now < entry.fresh_until else None
        if found is None:
            if not is_well_formed(secret):
                self._refused.labels("malformed").add()
                raise _unknown("it does not have the form of one: hf- and 38 letters and digits")
            if now < self._unknown.get(digest, 0.0):
                self._refused.labels("unknown").add()
                raise _unknown("no key of this value exists")
            found = await self._look_up(digest)
        try:
            found.check(self._clock.wall())
        except (KeyDisabled, KeyExpired) as problem:
            self._refused.labels("disabled" if isinstance(problem, KeyDisabled) else "expired").add()
            raise
        return found

    async def _look_up(self, digest: str) -> Admitted:
        """From the database; many callers of one key ask it once."""
        asked = (self._changes, digest)
        task = self._looking.get(asked)
        if task is None:
            task = self._looking[asked] = asyncio.ensure_future(self._read(digest))
            task.add_done_callback(lambda _: self._looking.pop(asked, None))
        try:
            found = await asyncio.shield(task)
        except Unavailable:
            entry = self._known.get(digest)
            if entry is not None and self._clock.monotonic() < entry.read_at + _GRACE_S:
                return entry.admitted
            raise
        if found is None:
            self._refused.labels("unknown").add()
            raise _unknown("no key of this value exists")
        return found

    async def _read(self, digest: str) -> Admitted | None:
        changes = self._changes
        row = await self._store.find(digest)
        now = self._clock.monotonic()
        if row is None or not hmac.compare_digest(row[1], digest):
            self._known.pop(digest, None)
            if changes == self._changes:
                _keep(self._unknown, digest, now + _FRESH_S, _MOST_UNKNOWN)
            return None
        found = admitted(row[0])
        # Read before a change that we heard of meanwhile: good for this call, and asked again for the next.
        fresh_until = now + _FRESH_S if changes == self._changes else now
        _keep(self._known, digest, _Known(found, fresh_until, now), _MOST)
        return found

    # -- changes ---------------------------------------------------------------------------------------

    async def look(self) -> None:
        """Forget what is known when any key has changed."""
        if not self._known and not self._unknown:
            return
        with suppress(Unavailable):
            revision = await self._store.revision()
            if revision != self._revision:
                self._forget()
                self._revision = revision

    def heard(self, payload: bytes) -> None:
        """A key of this id was made or revoked: nobody may go on with what was known of it."""
        self._drop(payload.decode("utf-8", "replace"))

    def joined(self) -> None:
        self._forget()

    def cut_off(self) -> None:
        """Nothing to do: the look once a second goes on."""

    def _forget(self) -> None:
        """Everything is to be asked again; what was known remains for the time the database is away."""
        self._changes += 1  # what is being read now may be older than the change
        self._unknown.clear()
        now = self._clock.monotonic()
        for known in self._known.values():
            known.fresh_until = min(known.fresh_until, now)

    def _drop(self, id: str) -> None:
        self._forget()
        for digest in [digest for digest, known in self._known.items() if known.admitted.key.id == id]:
            del self._known[digest]

    # -- administration --------------------------------------------------------------------------------

    async def create(self, wanted: NewKey) -> tuple[VirtualKey, str]:
        """A new key: how it is kept, and the key itself, which nobody can show again."""
        check_new(wanted)
        secret = new_secret(self._bits)
        now_ms = int(self._clock.wall() * 1000)
        key = VirtualKey(
            id=self._new_id(),
            name=wanted.name,
            shown=secret[:SHOWN],
            tenant=wanted.tenant,
            user=wanted.user,
            models=wanted.models,
            budgets=wanted.budgets,
            requests_per_minute=wanted.requests_per_minute,
            tokens_per_minute=wanted.tokens_per_minute,
            created_ms=now_ms,
            expires_ms=0 if wanted.expires_in_s is None else now_ms + int(wanted.expires_in_s * 1000),
        )
        await self._store.add(key, digest_of(secret))
        await self._tell(key.id)
        return key, secret

    async def revoke(self, id: str) -> VirtualKey:
        """Disable a key for good, here at once and everywhere within 2 s. Raises NoSuchKey."""
        if not await self._store.revoke(id):
            raise no_such(id)
        await self._tell(id)
        return await self.get(id)

    async def get(self, id: str) -> VirtualKey:
        """The key of this id. Raises NoSuchKey."""
        found = await self._store.get(id)
        if found is None:
            raise no_such(id)
        return found

    async def all(self, most: int = 1_000) -> Sequence[VirtualKey]:
        """Every key, in the order they were made."""
        return await self._store.all(most)

    async def _tell(self, id: str) -> None:
        self._drop(id)
        if self._shared is not None:
            with suppress(Unavailable, SharedRefused):  # the look once a second finds it too
                await self._shared.call("PUBLISH", CHANNEL, id)


class _Known:
    """A key in memory: good without asking until `fresh_until`, and in need for a while after `read_at`."""

    __slots__ = ("admitted", "fresh_until", "read_at")

    def __init__(self, admitted: Admitted, fresh_until: float, read_at: float) -> None:
        self.admitted = admitted
        self.fresh_until = fresh_until
        self.read_at = read_at


def no_such(id: str) -> NoSuchKey:
    """The 404 that says where ids are listed."""
    return NoSuchKey(f"no virtual key has the id {id[:60]!r}", hint="`holdfast llm keys list` shows them all")


def _unknown(why: str) -> UnknownKey:
    return UnknownKey(f"the API key is not known: {why}", hint="pass a key of `holdfast llm keys create`")


def _keep(table: OrderedDict[str, T], name: str, value: T, most: int) -> None:
    table[name] = value
    table.move_to_end(name)
    while len(table) > most:
        table.popitem(last=False)
