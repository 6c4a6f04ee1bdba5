"""The `[faults]` section."""

from typing import Annotated

import msgspec
from msgspec import Meta


class Config(msgspec.Struct, frozen=True):
    """Settings of `holdfast faults`; nothing of the room runs in the server itself."""

    host: Annotated[str, Meta(min_length=1, description="address of the fake provider")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="its port; 0: a free one")] = 8009
    seed: Annotated[int, Meta(description="what the fault `flaky` follows from")] = 0
    delay_ms: Annotated[
        float, Meta(ge=0, le=3_600_000, description="comes before every answer, healthy or not")
    ] = 0.0
    fault: Annotated[
        str, Meta(description="the fault of models whose name selects none; empty: they do not exist")
    ] = ""
