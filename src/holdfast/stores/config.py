"""The `[database]` section."""

from typing import Annotated

import msgspec
from msgspec import Meta


class Config(msgspec.Struct, frozen=True):
    """How the SQL store behaves; which database it is, the URL says."""

    pool_size: Annotated[
        int, Meta(ge=1, le=1000, description="PostgreSQL connections of one process; the rest wait in line")
    ] = 8
    readers: Annotated[int, Meta(ge=1, le=64, description="SQLite reader threads of one process")] = 4
    deadline_s: Annotated[
        float,
        Meta(gt=0, le=600, description="longest wait of a call for its turn and its answer, seconds"),
    ] = 5.0
    connect_timeout_s: Annotated[
        float, Meta(gt=0, le=600, description="longest that opening one PostgreSQL connection takes, seconds")
    ] = 3.0
    busy_timeout_s: Annotated[
        float, Meta(ge=0, le=600, description="how long SQLite waits for another process's write, seconds")
    ] = 5.0
    synchronous: Annotated[
        str,
        Meta(
            pattern="^(normal|full)$",
            description="durability: normal survives a crash on SQLite and is the server's on PostgreSQL, "
            "full survives a power cut",
        ),
    ] = "normal"
    migration_timeout_s: Annotated[
        float, Meta(gt=0, description="longest wait for another process that is migrating, seconds")
    ] = 60.0
    statement_cache_size: Annotated[
        int, Meta(ge=0, description="prepared statements kept per PostgreSQL connection; 0 behind pgbouncer")
    ] = 256
