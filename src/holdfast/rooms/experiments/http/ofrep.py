"""OFREP 0.3.0: the addresses that OpenFeature's stock clients of any language ask.

One flag alone is asked for where it is used, so its evaluation is the exposure of the targeting key; all
flags at once are asked for beforehand, so theirs are none. The exposure is a product event and not on this
request's own record: what is released is the client's work, not this look-up.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Any

from holdfast.kernel.context import current_ctx
from holdfast.kernel.errors import TooLarge, Unavailable
from holdfast.kernel.route import Answer, Call, Route
from holdfast.rooms.experiments.engine.flags.reading import Reading
from holdfast.rooms.experiments.rules.assigning import somebody
from holdfast.rooms.experiments.rules.flags import Flag, UnitKind
from holdfast.rooms.experiments.rules.ofrep import (
    FLAG_NOT_FOUND,
    MOST_BYTES,
    Asked,
    EvaluationRequest,
    bulk,
    fault_of,
    holds,
    in_ofrep_shape,
    problem_of,
    read,
    told,
)

PATH = "/ofrep/v1/evaluate/flags"
_PRIVATE = ("cache-control", "private, no-cache")


class Ofrep:
    """What the two addresses do. `everyone`: anybody reads, but only flags marked `client`."""

    def __init__(self, reading: Reading, *, everyone: bool) -> None:
        self._reading = reading
        self._everyone = everyone

    async def one(self, call: Call) -> Answer:
        """One flag, used now."""
        key = call.params["key"]
        self._check_started()
        asked = self._asked(await _body(call), key)
        flag = self._reading.flags.get(key)
        if flag is None or not self._may_read(flag):
            raise problem_of(FLAG_NOT_FOUND, key)
        found = self._reading.look_for(flag, asked)
        if fault := fault_of(found, flag):
            raise problem_of(fault, key)
        if self._speaks_for(flag.unit, found.unit):
            self._reading.exposed(found)
        return Answer(told(found, flag), headers=(("cache-control", "no-store"),))

    async def all(self, call: Call) -> Answer:
        """Every flag that may be read, for a client that keeps them; 304 when it has them already."""
        self._check_started()
        asked = self._asked(await _body(call))
        reading = self._reading
        etag = reading.tag(asked, everyone=self._everyone)
        headers = (("etag", etag), _PRIVATE)
        if holds(call.header("if-none-match"), etag):
            return Answer(status=304, headers=headers)
        flags = [flag for flag in reading.flags.values() if self._may_read(flag)]
        body = bulk([told(reading.look_for(flag, asked), flag) for flag in flags], reading.version or 0)
        return Answer(body, headers=headers)

    def _check_started(self) -> None:
        if self._reading.version is None:
            raise Unavailable("the flags have not been read yet", retry_after_s=1.0)

    def _may_read(self, flag: Flag) -> bool:
        return flag.client or not self._everyone

    def _asked(self, body: bytes, key: str = "") -> Asked:
        """For whom it is asked: among everyone, a known caller is meant who names nobody."""
        asked = read(body, key)
        return asked if asked.unit or not self._everyone else Asked(_caller("user"), asked.attributes)

    def _speaks_for(self, kind: UnitKind, unit: str) -> bool:
        """Whether it exposes this unit: among everyone, a known caller exposes only itself."""
        known = _caller(kind) if self._everyone else ""
        return not known or somebody(known) == unit


def _caller(kind: UnitKind) -> str:
    """The current request's user or tenant; "" where it has none."""
    ctx = current_ctx()
    if ctx is None or kind == "device":
        return ""
    return ctx.event.user_id if kind == "user" else ctx.tenant


async def _body(call: Call) -> bytes:
    """The body, bounded. Raises TooLarge."""
    chunks: list[bytes] = []
    size = 0
    given: AsyncIterator[bytes] | None = call.chunks
    if given is not None:
        async for chunk in given:
            size += len(chunk)
            if size > MOST_BYTES:
                raise TooLarge(f"more than {MOST_BYTES} bytes", hint="send a smaller context")
            chunks.append(chunk)
    return b"".join(chunks)


def routes(reading: Reading, *, everyone: bool) -> Sequence[Route]:
    """The addresses; their problems are written as OFREP writes them. `everyone`: without the admin token."""
    ofrep = Ofrep(reading, everyone=everyone)

    def post(path: str, handler: Any, summary: str) -> Route:
        return Route(
            "POST",
            path,
            handler,
            summary,
            reads={"application/json": EvaluationRequest},
            public=everyone,
            problem=in_ofrep_shape,
        )

    return (
        post(f"{PATH}/{{key}}", ofrep.one, "One flag for one targeting key, as OpenFeature's clients ask"),
        post(PATH, ofrep.all, "Every flag for one targeting key; an ETag says whether they have changed"),
    )
