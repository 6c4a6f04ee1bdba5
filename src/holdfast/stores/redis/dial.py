"""Opening a connection: TCP, TLS or a unix socket, then the greeting in one round trip."""

import asyncio
import ssl
from collections.abc import Sequence
from typing import Any

from holdfast.kernel.clock import Clock
from holdfast.kernel.errors import Misconfigured
from holdfast.ports.shared import SharedDown, SharedRefused
from holdfast.stores.redis.address import Address, Target
from holdfast.stores.redis.config import Config, Limits
from holdfast.stores.redis.replies import Bundle, Part, Rejected, Sink, code_of
from holdfast.stores.redis.server_clock import ServerClock
from holdfast.stores.redis.wire import Owner, Wire

_REJECTED = frozenset({"WRONGPASS", "NOAUTH", "NOPERM", "NOPROTO", "DENIED"})
_REJECTED_ERR = ("unknown command", "DB index", "SELECT is not allowed", "AUTH", "invalid DB")


class Dial:
    """How connections to the nodes of one target are opened."""

    def __init__(self, target: Target, config: Config, clock: Clock) -> None:
        self.target = target
        self.config = config
        self.clock = clock
        self.limits = Limits(
            config.budget_ms / 1000,
            config.failures,
            config.max_waiting,
            int(config.max_unsent_mb * 1_000_000),
        )
        self._tls = _tls(config) if target.tls else None

    async def open(self, address: Address, owner: Owner, *, master: bool = False) -> Wire:
        """A greeted connection to a server that is ready; raises OSError, SharedDown, Rejected."""
        username = self.target.username or self.config.username
        password = self.target.password or self.config.password.reveal()
        greeting: list[tuple[Any, ...]] = [self._hello(username, password)]
        if self.target.database:
            greeting.append(("SELECT", self.target.database))
        # Only PING is refused by a server that still loads its data.
        return await self._opened(address, owner, [*greeting, ("PING",)], master)

    async def open_sentinel(self, address: Address, owner: Owner) -> Wire:
        """A connection to a sentinel; raises OSError, SharedDown, Rejected."""
        username, password = self.config.sentinel_username, self.config.sentinel_password.reveal()
        return await self._opened(address, owner, [self._hello(username, password), ("PING",)], False)

    def _hello(self, username: str, password: str) -> tuple[Any, ...]:
        credentials = ("AUTH", username or "default", password) if username or password else ()
        return ("HELLO", 3, *credentials, "SETNAME", self.config.client_name)

    async def _opened(
        self, address: Address, owner: Owner, greeting: list[tuple[Any, ...]], master: bool
    ) -> Wire:
        loop = asyncio.get_running_loop()
        patient = self.limits._replace(budget_s=self.config.connect_timeout_s)
        wire = Wire(loop, patient, self.clock, owner)
        try:
            async with asyncio.timeout(self.config.connect_timeout_s):
                await self._connect(loop, wire, address)
                replies = await ask_all(wire, [*greeting, ("ROLE",)] if master else greeting)
        except TimeoutError:
            wire.drop(why := f"{address} did not answer within {self.config.connect_timeout_s:g} s")
            raise OSError(why) from None
        except ssl.SSLCertVerificationError as error:
            raise Rejected(f"{address} has no good certificate: {error.verify_message}") from None
        except BaseException:
            wire.drop("the greeting failed")
            raise
        try:
            _judge(address, replies)
            if master and replies[-1][0] != b"master":
                raise OSError(f"{address} is no master now")
        except BaseException:
            wire.drop("the greeting failed")
            raise
        if wire.ended:  # lost between its last reply and now; nobody would hear of it again
            raise OSError(wire.ended)
        wire.settle(self.limits)
        return wire

    async def _connect(self, loop: asyncio.AbstractEventLoop, wire: Wire, address: Address) -> None:
        if address.path:
            await loop.create_unix_connection(lambda: wire, address.path)
        else:
            await loop.create_connection(lambda: wire, address.host, address.port, ssl=self._tls)


async def ask_all(wire: Wire, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
    """The replies in order, refusals among them; raises SharedDown."""
    bundle = Bundle(asyncio.get_running_loop().create_future(), len(commands))
    for index, command in enumerate(commands):
        wire.send_to(Part(bundle, index), command)
    replies: list[Any] = await bundle.future
    return replies


class Quiet:
    """The owner of a connection for a few questions."""

    def refused(self, wire: Wire, sink: Any, sent: Any, error: SharedRefused, due: float) -> None:
        sink.set_exception(error)

    def lost(self, wire: Wire, why: str) -> None:
        """Who waits for a reply hears of it."""

    def pushed(self, wire: Wire, message: list[Any]) -> None:
        """Nothing was subscribed to."""


class TimeProbe(Sink):
    """Takes the reply to TIME to the clock."""

    __slots__ = ("_asked_at", "_clock")

    def __init__(self, clock: ServerClock) -> None:
        self._clock = clock
        self._asked_at = clock.monotonic()

    def done(self) -> bool:
        return False

    def set_result(self, reply: Any) -> None:
        self._clock.heard(int(reply[0]) * 1_000_000 + int(reply[1]), self._asked_at)


def _judge(address: Address, replies: Sequence[Any]) -> None:
    for reply in replies:
        if isinstance(reply, SharedRefused):
            code, said = code_of(reply), str(reply)
            if code in _REJECTED or (code == "ERR" and any(word in said for word in _REJECTED_ERR)):
                old = "; Redis 6, Valkey or later is needed" if "HELLO" in said else ""
                raise Rejected(f"{address} refuses us: {said}{old}")
            raise SharedDown(f"{address} is not ready: {said}")


def _tls(config: Config) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=config.tls_ca_file or None)
        if config.tls_cert_file:
            context.load_cert_chain(config.tls_cert_file, config.tls_key_file or None)
    except OSError as error:
        raise Misconfigured(
            f"the certificates for the shared store cannot be read: {error}",
            hint="set tls_ca_file, tls_cert_file and tls_key_file in the section [shared]",
        ) from None
    if not config.tls_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
