"""The `[experiments]` section."""

import re
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from holdfast.rooms.experiments.rules.experiments import Metric

_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]*\Z")
# CUBOT makes phones, and DaumApps are people's.
BOTS = (
    r"(?<!\bcu)bot\b|crawl|spider|slurp|headless|preview|monitor|uptime|pingdom|"
    r"kube-probe|GoogleHC|ELB-HealthChecker|Yeti|Daum/|Daumoa|"
    r"kakaotalk-scrap|facebookexternalhit"
)


class Config(msgspec.Struct, frozen=True):
    """Settings of flags, releases and experiments."""

    poll_s: Annotated[
        float, Meta(gt=0, le=60, description="seconds between looks whether a flag has changed")
    ] = 0.5
    flush_s: Annotated[
        float, Meta(gt=0, le=60, description="seconds that counts are collected before they are written")
    ] = 1.0
    turn_s: Annotated[
        float, Meta(gt=0, le=60, description="seconds between two judgements of a running release")
    ] = 1.0
    header: Annotated[str, Meta(description="response header that names the variants; empty: none")] = (
        "x-variant"
    )
    device_header: Annotated[
        str, Meta(description="request header that names a device, for flags whose unit is one")
    ] = "x-device-id"
    bots: Annotated[
        str, Meta(description="user agents that get control and are not counted, as a regular expression")
    ] = BOTS
    not_counted: Annotated[
        list[str], Meta(description="prefixes of paths that take no part: health checks, metrics, admin")
    ] = msgspec.field(
        default_factory=lambda: ["/health", "/metrics", "/admin", "/api/v1/monitoring", "/api/v2/health"]
    )
    internal: Annotated[
        list[str], Meta(description="users that get control and are not counted: testers, probes")
    ] = []
    ofrep: Annotated[
        Literal["admin", "client"],
        Meta(description="who reads flags over OFREP: the admin token, or anyone those marked `client`"),
    ] = "admin"
    metrics: Annotated[
        list[Metric], Meta(description="metrics that experiments may use, beside those made over the API")
    ] = []
    look_hour: Annotated[
        int,
        Meta(ge=0, le=23, description="hour of the experiment's own day at which it is looked at by itself"),
    ] = 6
    keep_days: Annotated[
        float, Meta(gt=0, le=3650, description="days that units of an ended experiment are kept; sums stay")
    ] = 30.0

    def __post_init__(self) -> None:
        for setting in ("header", "device_header"):
            if not _HEADER.match(name := getattr(self, setting)):
                raise ValueError(f"{setting} = {name!r} is no name of a header")
        names = [metric.name for metric in self.metrics]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"metrics: {min(twice)!r} stands there twice")
        try:
            re.compile(self.bots)
        except re.error as error:
            raise ValueError(f"bots = {self.bots!r} is no regular expression: {error}") from None
