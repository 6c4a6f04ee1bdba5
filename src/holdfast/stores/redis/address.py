"""What a URL of the shared store says: which servers, of what topology, and who asks."""

import re
from typing import NamedTuple
from urllib.parse import parse_qs, unquote

import msgspec

from holdfast.kernel.errors import Misconfigured

_SCHEME = re.compile(r"(redis|rediss|valkey|valkeys)(?:\+(sentinel|cluster|unix))?$")
_HOST = re.compile(r"(?:\[([0-9a-fA-F:.%]+)\]|([^\[\]:/@]*))(?::(\d{1,5}))?$")
_FORMS = (
    "redis://host:6379/0, rediss://… (TLS), redis+unix:///path/to.sock?db=0, "
    "redis+sentinel://host:26379,host:26379/mymaster/0 or redis+cluster://host:6379,host:6379"
)


class Address(NamedTuple):
    """Where one node listens; `path` is a unix socket and stands alone."""

    host: str
    port: int
    path: str = ""

    def __str__(self) -> str:
        if self.path:
            return self.path
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Target(msgspec.Struct, frozen=True):
    """A URL, taken apart. `topology` is `standalone`, `sentinel` or `cluster`."""

    topology: str
    addresses: tuple[Address, ...]
    tls: bool = False
    username: str = ""
    password: str = ""
    database: int = 0
    master: str = ""


def is_shared(scheme: str) -> bool:
    """Whether URLs of this scheme name a shared store."""
    return _SCHEME.match(scheme) is not None


def read_url(url: str) -> Target:
    """Take `url` apart; raises Misconfigured, without the password, where it means nothing."""
    scheme, separator, rest = url.strip().partition("://")
    matched = _SCHEME.match(scheme.lower())
    if not separator or matched is None:
        raise _wrong("its scheme is not known")
    kind = matched.group(2) or "standalone"
    rest, _, query = rest.partition("?")
    credentials, _, rest = rest.rpartition("@")
    username, _, password = credentials.partition(":")
    hosts, slash, path = rest.partition("/")
    target = Target(
        topology="standalone" if kind == "unix" else kind,
        addresses=_addresses(hosts, kind) if kind != "unix" else (_socket(hosts, slash + path),),
        tls=matched.group(1).endswith("s") and matched.group(1) != "redis",
        username=unquote(username),
        password=unquote(password),
    )
    if kind == "unix":
        return msgspec.structs.replace(target, database=_database(_option(query)))
    _option(query, allowed=())
    parts = [unquote(part) for part in path.split("/") if part]
    if kind == "cluster":
        if parts not in ([], ["0"]):
            raise _wrong("a cluster has database 0 only")
        return target
    if kind == "sentinel":
        if not 1 <= len(parts) <= 2:
            raise _wrong("the master's name is missing")
        return msgspec.structs.replace(target, master=parts[0], database=_database((parts[1:] or ["0"])[0]))
    if len(parts) > 1:
        raise _wrong("after the host comes the database's number only")
    return msgspec.structs.replace(target, database=_database((parts or ["0"])[0]))


def _addresses(hosts: str, kind: str) -> tuple[Address, ...]:
    found = []
    for text in hosts.split(","):
        matched = _HOST.match(text.strip())
        if matched is None:
            raise _wrong("a host is not readable")
        host = unquote(matched.group(1) or matched.group(2) or "localhost")
        port = int(matched.group(3) or (26379 if kind == "sentinel" else 6379))
        if not 0 < port < 65536:
            raise _wrong(f"{port} is not a port")
        found.append(Address(host, port))
    if kind == "standalone" and len(found) > 1:
        raise _wrong("several hosts are a cluster's or Sentinel's")
    return tuple(found)


def _socket(hosts: str, path: str) -> Address:
    if hosts or path in ("", "/"):
        raise _wrong("a unix socket is an absolute path")
    return Address("", 0, unquote(path))


def _option(query: str, allowed: tuple[str, ...] = ("db",)) -> str:
    options = parse_qs(query, keep_blank_values=True)
    if unknown := sorted(set(options) - set(allowed)):
        raise _wrong(f"the option {unknown[0]} is not known; options stand in the section [shared]")
    return options.get("db", ["0"])[-1]


def _database(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise _wrong("the database is not a number")
    return int(text)


def _wrong(what: str) -> Misconfigured:
    return Misconfigured(f"the URL of the shared store is not valid: {what}", hint=f"use {_FORMS}")
