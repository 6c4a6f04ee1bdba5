"""Opening a connection: addresses of the name, the first of them that answers, TLS; one limit around all."""

import asyncio
import ipaddress
import itertools
import socket
import ssl
from collections.abc import Callable, Coroutine
from typing import Any

from holdfast.rooms.llm.providers.lane_wire import Wire
from holdfast.rooms.llm.providers.transport import Limits, Origin
from holdfast.rooms.llm.rules.failures import Kind, ProviderFailed

STAGGER_S = 0.25
"""How long one address is tried alone before the next is tried beside it (RFC 8305, 5)."""


class Dial:
    """Opens connections to one origin and remembers its addresses for a while."""

    def __init__(self, where: Origin, limits: Limits, tls: ssl.SSLContext | None = None) -> None:
        self._where = where
        self._limits = limits
        self._tls = tls
        self._addresses: list[str] = []
        self._believed_until = 0.0
        self._asking: asyncio.Task[list[str]] | None = None
        try:
            self._addresses = [str(ipaddress.ip_address(where.host))]
            self._believed_until = float("inf")
        except ValueError:
            self._addresses = []

    async def open(self) -> Wire:
        """A connection; else ProviderFailed: CONNECTION and its cause as `code`, or SILENT."""
        where = f"{self._where.host}:{self._where.port}"
        try:
            async with asyncio.timeout(self._limits.connect_s):
                return await self._open()
        except TimeoutError:
            said = f"no connection to {where} within {self._limits.connect_s:g} s"
            raise ProviderFailed(Kind.SILENT, said, phase="connect") from None
        except ssl.SSLCertVerificationError as error:
            said = f"the certificate of {where} is not valid: {error.verify_message}"
            raise ProviderFailed(Kind.CONNECTION, said, code="certificate", phase="connect") from None
        except ssl.SSLError as error:
            said = f"no TLS with {where}: {error.reason or 'handshake failed'}"
            raise ProviderFailed(Kind.CONNECTION, said, code="tls", phase="connect") from None
        except socket.gaierror as error:
            said = f"{self._where.host} has no address: {error.strerror}"
            raise ProviderFailed(Kind.CONNECTION, said, code="dns", phase="connect") from None
        except OSError as error:
            self._forget()
            said = f"no connection to {where}: {error.strerror or type(error).__name__}"
            code = "refused" if isinstance(error, ConnectionRefusedError) else "connect"
            raise ProviderFailed(Kind.CONNECTION, said, code=code, phase="connect") from None

    def _forget(self) -> None:
        if self._believed_until != float("inf"):
            self._believed_until = 0.0

    async def _open(self) -> Wire:
        loop = asyncio.get_running_loop()
        if self._where.tls and self._tls is None:
            self._tls = verifying()
        addresses = self._addresses if loop.time() < self._believed_until else await self._resolved(loop)
        if len(addresses) == 1:
            return await self._reach(loop, addresses[0])
        return await first_of(addresses, lambda address: self._reach(loop, address))

    async def _reach(self, loop: asyncio.AbstractEventLoop, address: str) -> Wire:
        _, wire = await loop.create_connection(
            lambda: Wire(loop, self._limits),
            address,
            self._where.port,
            ssl=self._tls if self._where.tls else None,
            server_hostname=self._where.host if self._where.tls else None,
        )
        return wire

    async def _resolved(self, loop: asyncio.AbstractEventLoop) -> list[str]:
        """The addresses; callers at the same time ask once. One that leaves does not stop the others."""
        if self._asking is None or self._asking.done():
            self._asking = loop.create_task(self._resolve(loop))
            self._asking.add_done_callback(_seen)
        return await asyncio.shield(self._asking)

    async def _resolve(self, loop: asyncio.AbstractEventLoop) -> list[str]:
        found = await loop.getaddrinfo(self._where.host, self._where.port, type=socket.SOCK_STREAM)
        self._addresses = interleaved([(family, str(to[0])) for family, _, _, _, to in found])
        self._believed_until = loop.time() + self._limits.resolve_s
        return self._addresses


def verifying() -> ssl.SSLContext:
    """Certificates and names are checked against the system's authorities; HTTP/1.1 is what we speak."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def interleaved(found: list[tuple[int, str]]) -> list[str]:
    """Addresses in the resolver's order, the families by turns (RFC 8305, 4); each once."""
    families: dict[int, dict[str, None]] = {}
    for family, address in found:
        families.setdefault(family, {})[address] = None
    turns = itertools.chain.from_iterable(itertools.zip_longest(*families.values()))
    return [address for address in turns if address is not None]


async def first_of(addresses: list[str], reach: Callable[[str], Coroutine[Any, Any, Wire]]) -> Wire:
    """The first connection that stands; the others are given up. Raises the first error when none does."""
    waiting = list(reversed(addresses))
    tries: set[asyncio.Task[Wire]] = set()
    errors: list[BaseException] = []
    won: asyncio.Task[Wire] | None = None
    try:
        while won is None:
            if waiting:
                tries.add(asyncio.create_task(reach(waiting.pop())))
            if not tries:
                raise errors[0]
            patience_s = STAGGER_S if waiting else None
            done, _ = await asyncio.wait(tries, timeout=patience_s, return_when=asyncio.FIRST_COMPLETED)
            for attempt in done:
                tries.discard(attempt)
                if (error := attempt.exception()) is not None:
                    errors.append(error)
                elif won is None:
                    won = attempt
                else:
                    attempt.result().abort()
        return won.result()
    finally:
        for attempt in tries:
            attempt.cancel()
            attempt.add_done_callback(_give_up)


def _seen(asking: "asyncio.Task[list[str]]") -> None:
    """A failure is told to who waits; when all have left it is nobody's."""
    if not asking.cancelled():
        asking.exception()


def _give_up(attempt: "asyncio.Task[Wire]") -> None:
    if not attempt.cancelled() and attempt.exception() is None:
        attempt.result().abort()
