"""The `[cache]` section."""

from typing import Annotated

import msgspec
from msgspec import Meta

from holdfast.rooms.cache.rules.headers import Rule
from holdfast.rooms.cache.rules.kinds import KindSettings
from holdfast.rooms.cache.rules.sessions import SessionSettings


class Config(msgspec.Struct, frozen=True):
    """Settings of the cache room, `[cache]` in the file, its kinds in `[cache.kinds.<name>]`."""

    max_bytes: Annotated[
        int, Meta(ge=1 << 16, description="bytes that a process keeps in memory at most")
    ] = 128 << 20
    max_entries: Annotated[int, Meta(ge=16, description="entries that a process keeps in memory at most")] = (
        100_000
    )
    max_value_bytes: Annotated[
        int, Meta(ge=1, description="bytes of a value as it travels; a larger one is returned and not kept")
    ] = 8 << 20
    largest_share: Annotated[
        float,
        Meta(gt=0, le=0.5, description="share of its part of the memory that one entry may take"),
    ] = 0.1
    max_markers: Annotated[
        int,
        Meta(ge=16, description="invalidations remembered one by one; older ones are remembered in groups"),
    ] = 50_000
    cut_off_ttl_s: Annotated[
        float,
        Meta(
            ge=0, description="seconds that a process that hears nothing of the others serves what it holds"
        ),
    ] = 30.0
    lease_wait_s: Annotated[
        float,
        Meta(gt=0, description="seconds to wait for another node's load before loading here as well"),
    ] = 30.0
    warm_keys: Annotated[
        int, Meta(ge=0, description="hot keys of the last run that are loaded again at the start; 0: none")
    ] = 1_000
    warm_concurrency: Annotated[int, Meta(ge=1, le=256, description="loads at once while warming up")] = 4
    sweep_s: Annotated[
        float, Meta(gt=0, description="seconds between two looks for entries that have ended")
    ] = 1.0
    namespace: Annotated[
        str,
        Meta(
            pattern="^[A-Za-z0-9_.-]+$",
            description="first part of the cache's keys in the shared store; who shares it shares the cache",
        ),
    ] = "holdfast"
    lease_s: Annotated[
        float,
        Meta(ge=0.5, le=60, description="seconds after which another node may load when the first is gone"),
    ] = 3.0
    journal_bytes: Annotated[
        int,
        Meta(ge=0, description="bytes of writes kept for the shared store while it is away, in memory"),
    ] = 16 << 20
    responses: Annotated[
        list[Rule], Meta(description="addresses whose answers browsers and CDNs may keep, and how")
    ] = []
    sessions: Annotated[
        SessionSettings, Meta(description="how long sessions live, how large they are and how many")
    ] = SessionSettings()
    kinds: Annotated[
        dict[str, KindSettings],
        Meta(description="kinds of entries by name, each with its time to live and its part of the memory"),
    ] = {}
