"""The same transport over aiohttp: for proxies, and for whoever trusts the older client more."""

import asyncio
import ssl
from types import SimpleNamespace
from typing import Any

import aiohttp

from holdfast.rooms.llm.providers.lane_dial import verifying
from holdfast.rooms.llm.providers.transport import Answer, Fields, Headers, Limits, origin, rendered
from holdfast.rooms.llm.rules.failures import Kind, ProviderFailed

READ_BYTES = 64 * 1024


class AiohttpReading:
    """An answer of which the head is there; its place is taken until it is read, finished or closed."""

    def __init__(self, response: aiohttp.ClientResponse, places: asyncio.Semaphore) -> None:
        self._response = response
        self._places: asyncio.Semaphore | None = places
        self.status: int = response.status
        self.headers: Headers = headers_of(response)

    async def read(self) -> bytes:
        """What has come since, at least one byte; `b""` at the end, and after it was closed."""
        if self._places is None:
            return b""
        try:
            data: bytes = await self._response.content.readany()
        except (aiohttp.ClientError, OSError) as error:
            await self.aclose()
            raise ProviderFailed(Kind.CUT, "the connection ended inside the answer") from error
        except BaseException:
            await self.aclose()
            raise
        if not data:
            self._free()
        return data

    async def aclose(self) -> None:
        """Stop now."""
        self._response.close()
        self._free()

    async def finish(self) -> None:
        """Keep the connection if the answer is whole, else close it."""
        self._response.release()
        self._free()

    def _free(self) -> None:
        places, self._places = self._places, None
        if places is not None:
            places.release()


class AiohttpTransport:
    """Posts to one origin over aiohttp's pool. `proxy` is the URL of an HTTP proxy."""

    def __init__(
        self,
        base_url: str,
        limits: Limits | None = None,
        *,
        tls: ssl.SSLContext | None = None,
        proxy: str | None = None,
    ) -> None:
        self.limits = limits or Limits()
        self._where = origin(base_url)
        self._tls = tls
        self._proxy = proxy
        self._session: aiohttp.ClientSession | None = None
        self._places = asyncio.Semaphore(self.limits.max_connections)
        self._closed = False

    async def post(self, path: str, fields: Fields, body: bytes, first_byte_s: float | None = None) -> Answer:
        """The whole answer. Cancelled, its connection is closed at once."""
        opened = await self.stream(path, fields, body, first_byte_s)
        parts, size = [], 0
        try:
            while data := await opened.read():
                parts.append(data)
                size += len(data)
                if size > self.limits.max_body_bytes:
                    raise ProviderFailed(Kind.GARBLED, "the answer is too large", code="too_large")
        finally:
            await opened.aclose()
        return Answer(opened.status, opened.headers, b"".join(parts))

    async def stream(
        self, path: str, fields: Fields, body: bytes, first_byte_s: float | None = None
    ) -> AiohttpReading:
        """The head of the answer; its body is to be read, finished or closed."""
        try:
            rendered(self._where, path, fields)
        except ValueError as error:
            # Not the text: it may hold a key.
            raise ProviderFailed(Kind.AUTH, f"a header cannot be sent: {type(error).__name__}") from None
        await self._place()
        try:
            limit_s = self.limits.first_byte_s if first_byte_s is None else first_byte_s
            response = await self._opened(path, fields, body, limit_s)
        except BaseException:
            self._places.release()
            raise
        return AiohttpReading(response, self._places)

    async def close(self) -> None:
        """Close every connection."""
        self._closed = True
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _place(self) -> None:
        if self._closed:
            raise ProviderFailed(Kind.CONNECTION, "the transport is closed", code="closed")
        if not self._places.locked():
            await self._places.acquire()  # at once, and without a timer
            return
        try:
            async with asyncio.timeout(self.limits.wait_s):
                await self._places.acquire()
        except TimeoutError:
            said = f"all {self.limits.max_connections} connections to {self._where.host} are in use"
            raise ProviderFailed(Kind.BUSY, said, phase="wait") from None

    async def _opened(self, path: str, fields: Fields, body: bytes, limit_s: float) -> aiohttp.ClientResponse:
        session = self._session or self._start()
        try:
            # The limit of the first byte begins when the request has left: see `_sent`.
            async with asyncio.timeout(None) as watch:
                return await session.post(
                    self._where.url + path,
                    headers=fields,
                    data=body,
                    allow_redirects=False,
                    proxy=self._proxy,
                    trace_request_ctx=(watch, limit_s),
                )
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise self._failed(error) from None

    def _start(self) -> aiohttp.ClientSession:
        limits = self.limits
        trace = aiohttp.TraceConfig()
        trace.on_request_headers_sent.append(_sent)
        connector = aiohttp.TCPConnector(
            limit=0,
            keepalive_timeout=limits.idle_s,
            ttl_dns_cache=int(limits.resolve_s),
            ssl=self._tls or (verifying() if self._where.tls else True),
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=limits.connect_s),
            headers={"accept-encoding": "identity"},
            skip_auto_headers=("User-Agent", "Accept"),
            trace_configs=[trace],
            max_line_size=limits.max_head_bytes,
            max_field_size=limits.max_head_bytes,
        )
        return self._session

    def _failed(self, error: Exception) -> ProviderFailed:
        """An error of aiohttp before the head was there, as ours."""
        where = f"{self._where.host}:{self._where.port}"
        if isinstance(error, aiohttp.ServerTimeoutError):
            said = f"no connection to {where} within {self.limits.connect_s:g} s"
            return ProviderFailed(Kind.SILENT, said, phase="connect")
        if isinstance(error, TimeoutError):
            return ProviderFailed(Kind.SILENT, "no answer in time", phase="first byte")
        for kind, code in _CONNECT:
            if isinstance(error, kind):
                if code == "connect" and isinstance(error.__cause__, ConnectionRefusedError):
                    code = "refused"
                said = f"no connection to {where}: {code}"
                return ProviderFailed(Kind.CONNECTION, said, code=code, phase="connect")
        if isinstance(error, aiohttp.ClientResponseError | ValueError):
            said = f"not HTTP/1.1: {type(error).__name__}"
            return ProviderFailed(Kind.GARBLED, said, code="protocol")
        return ProviderFailed(Kind.CONNECTION, "the connection ended before an answer")


_CONNECT: tuple[tuple[type[Exception], str], ...] = (
    (aiohttp.ClientConnectorCertificateError, "certificate"),
    (aiohttp.ClientConnectorSSLError, "tls"),
    (aiohttp.ClientConnectorDNSError, "dns"),
    (aiohttp.ClientConnectorError, "connect"),
    (aiohttp.ClientHttpProxyError, "proxy"),
)


async def _sent(session: Any, context: SimpleNamespace, told: Any) -> None:
    watch, limit_s = context.trace_request_ctx
    watch.reschedule(asyncio.get_running_loop().time() + limit_s)


def headers_of(response: aiohttp.ClientResponse) -> Headers:
    """The response headers under lower-case names."""
    return {name.lower(): value for name, value in response.raw_headers}
