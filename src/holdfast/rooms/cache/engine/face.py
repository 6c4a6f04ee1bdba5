"""What users hold as `hold.cache`: the cache, and beside it sessions, response headers and warm-up."""

from collections.abc import Callable, Mapping
from typing import Any

from holdfast.rooms.cache.engine.cache import CacheEngine
from holdfast.rooms.cache.engine.responses import Responses
from holdfast.rooms.cache.engine.sessions import Sessions
from holdfast.rooms.cache.engine.warmup import Warmup

TierState = Callable[[], Mapping[str, Any]]


class Face:
    """Everything the room can do, in one place; `tier` tells the state of L2, None where there is none."""

    def __init__(
        self,
        engine: CacheEngine,
        *,
        responses: Responses,
        sessions: Sessions,
        warmup: Warmup,
        tier: TierState | None = None,
    ) -> None:
        self.engine = engine
        self.responses = responses
        self.sessions = sessions
        self.warmup = warmup
        self.tier = tier
        # Bound methods, so that a hit through this object takes no frame more than one through the engine.
        self.get = engine.get
        self.set = engine.set
        self.get_or_set = engine.get_or_set
        self.get_many = engine.get_many
        self.set_many = engine.set_many
        self.get_or_set_many = engine.get_or_set_many
        self.invalidate = engine.invalidate
        self.cached = engine.cached
        self.explain = engine.explain
        self.loader = warmup.loader
        self.respond = responses.respond
        self.responds = responses.responds
