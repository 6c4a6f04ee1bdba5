"""How bytes reach a provider: HTTP posts to one origin, the whole answer or its body as it comes."""

import ssl
from typing import NamedTuple, Protocol
from urllib.parse import urlsplit

import msgspec

from holdfast.kernel.errors import Misconfigured

Fields = tuple[tuple[str, str], ...]
"""Request headers. A tuple, so that what it renders to is made once and found again."""
Headers = dict[bytes, bytes]
"""Response headers under lower-case names; of a repeated one the last."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one transport allows itself and its peer."""

    connect_s: float = 5.0
    """Resolving, connecting and the TLS handshake together."""
    first_byte_s: float = 10.0
    """From the request to the whole head of the answer; a call may set its own."""
    wait_s: float = 10.0
    """For a connection when `max_connections` are in use."""
    max_connections: int = 512
    idle_s: float = 20.0
    """How long an unused connection is kept: shorter than servers keep theirs, so that none is found dead."""
    max_idle: int = 512
    resolve_s: float = 30.0
    """How long the addresses of a name are believed."""
    max_head_bytes: int = 64 * 1024
    max_body_bytes: int = 64 * 1024 * 1024
    """Of a whole answer; the body of a stream is as long as it likes."""


class Answer(NamedTuple):
    """A whole answer, whatever its status."""

    status: int
    headers: Headers
    body: bytes


class Opened(Protocol):
    """An answer whose head is there and whose body comes in."""

    status: int
    headers: Headers

    async def read(self) -> bytes:
        """What has come since, at least one byte; `b""` at the end. Raises ProviderFailed(CUT)."""
        ...

    async def aclose(self) -> None:
        """Stop now: the connection is closed unless the whole body was read."""
        ...

    async def finish(self) -> None:
        """All that is wanted is here: what little may follow is thrown away, the connection kept."""
        ...


class Transport(Protocol):
    """Posts to one origin.

    Raises ProviderFailed (CONNECTION, SILENT, BUSY, CUT, GARBLED; AUTH for a header that cannot be sent),
    never sends again what may have reached the peer, and closes the connection of a call that is cancelled.
    """

    async def post(
        self, path: str, fields: Fields, body: bytes, first_byte_s: float | None = None
    ) -> Answer: ...

    async def stream(
        self, path: str, fields: Fields, body: bytes, first_byte_s: float | None = None
    ) -> Opened: ...

    async def close(self) -> None: ...


class Origin(NamedTuple):
    """Where a base URL points to."""

    tls: bool
    host: str
    port: int
    path: str
    """In front of every path, without a slash at its end."""

    @property
    def authority(self) -> str:
        """As it stands in `Host`."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.authority}{self.path}"


def origin(base_url: str) -> Origin:
    """The origin of a base URL; Misconfigured when it is none, or would put a secret into logs."""
    hint = "set it like https://api.openai.com/v1"
    try:
        parts = urlsplit(base_url)
        port = parts.port
    except ValueError as error:
        raise Misconfigured(f"base_url is not a URL: {error}", hint=hint) from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Misconfigured(f"base_url {parts.scheme}://… has no http(s) scheme or no host", hint=hint)
    if parts.username or parts.password or parts.query or parts.fragment:
        raise Misconfigured("base_url holds more than scheme, host, port and path", hint=hint)
    if not base_url.isascii() or any(sign <= " " or sign == "\x7f" for sign in base_url):
        raise Misconfigured("base_url has signs that a URL cannot have", hint=hint)
    tls = parts.scheme == "https"
    return Origin(tls, parts.hostname, port or (443 if tls else 80), parts.path.rstrip("/"))


def rendered(where: Origin, path: str, fields: Fields) -> bytes:
    """The head of a POST up to `content-length: `; raises ValueError on what would break out of it."""
    lines = [f"POST {where.path}{path} HTTP/1.1", f"host: {where.authority}"]
    for name, value in fields:
        lines.append(f"{name}: {value}")
    if any("\r" in line or "\n" in line or "\0" in line for line in lines) or " " in path:
        raise ValueError("a line break, NUL or blank where HTTP allows none")
    return ("\r\n".join([*lines, "accept-encoding: identity", "content-length: "])).encode("latin-1")


def verifying() -> ssl.SSLContext:
    """Certificates and names are checked against the system's authorities; HTTP/1.1 is what we speak."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context
