"""The parts of the room that its addresses and commands speak to, together."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from holdfast.rooms.cache.engine.cache import CacheEngine
from holdfast.rooms.cache.engine.sessions import Sessions
from holdfast.rooms.cache.engine.warmup import Warmup


class Parts(msgspec.Struct, frozen=True):
    """What `room.py` has put together."""

    engine: CacheEngine
    sessions: Sessions
    warmup: Warmup
    tier: Callable[[], Mapping[str, Any]] | None = None
    """Tells the state of the second tier; None where there is none."""
