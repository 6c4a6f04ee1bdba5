"""The `[shared]` section."""

from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta

from holdfast.kernel.config import Secret


class Limits(NamedTuple):
    """What one connection may cost."""

    budget_s: float
    failures: int
    max_waiting: int
    max_unsent_bytes: int


class Config(msgspec.Struct, frozen=True):
    """How the shared store behaves; which servers it is, the URL says."""

    budget_ms: Annotated[
        float,
        Meta(gt=0, le=60_000, description="longest that one call waits for its reply, milliseconds"),
    ] = 50.0
    failures: Annotated[
        int,
        Meta(ge=1, le=1000, description="budgets missed in a row, without a sign of life, that mean away"),
    ] = 3
    connections: Annotated[
        int, Meta(ge=1, le=64, description="connections to each node, from one process; calls share them")
    ] = 1
    connect_timeout_s: Annotated[
        float, Meta(gt=0, le=60, description="longest that opening a connection and greeting takes, seconds")
    ] = 1.0
    heartbeat_s: Annotated[
        float, Meta(gt=0, le=60, description="seconds between two looks at the server and its clock")
    ] = 1.0
    max_waiting: Annotated[
        int, Meta(ge=1, description="unanswered commands of one connection; further ones are turned away")
    ] = 10_000
    max_unsent_mb: Annotated[
        float, Meta(gt=0, description="megabytes one connection holds that the server has not taken yet")
    ] = 64.0
    client_name: Annotated[
        str, Meta(pattern="^[!-~]{1,64}$", description="name of the connections in CLIENT LIST")
    ] = "holdfast"
    username: Annotated[str, Meta(description="ACL user, where the URL names none")] = ""
    password: Annotated[Secret, Meta(description="password, where the URL has none")] = Secret()
    sentinel_username: Annotated[str, Meta(description="ACL user of the sentinels themselves")] = ""
    sentinel_password: Annotated[Secret, Meta(description="password of the sentinels themselves")] = Secret()
    tls_ca_file: Annotated[
        str, Meta(description="file of certificates that may sign the server's; empty: those of the machine")
    ] = ""
    tls_cert_file: Annotated[str, Meta(description="our own certificate, where the server asks for one")] = ""
    tls_key_file: Annotated[str, Meta(description="its key; empty: in the certificate's file")] = ""
    tls_verify: Annotated[bool, Meta(description="whether the server's certificate must be good")] = True
