"""The `[llm]` settings: which deployments there are, which models they serve, and what holds for a call."""

from collections.abc import Iterable
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from holdfast.kernel.config import Secret
from holdfast.kernel.errors import Misconfigured
from holdfast.kernel.guard.breaker import fixed_s
from holdfast.rooms.llm.rules.money_settings import MoneySettings

EXTRACTIVE = "extractive"
"""The deployment that is always there: it quotes, and needs no model and no key."""

Seconds = Annotated[float, Meta(ge=0)]
Name = Annotated[str, Meta(min_length=1, max_length=100)]


class Deployment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One place where a model runs, `[llm.deployments.<name>]`. A time of 0 sets no limit."""

    provider: Literal["openai", "anthropic", "openai_sdk", "litellm", "extractive"] = "openai"
    base_url: Annotated[
        str, Meta(description="as in http://127.0.0.1:8009/v1; empty: the provider's own")
    ] = ""
    model: Annotated[str, Meta(description="its name there; empty: this deployment's")] = ""
    keys: Annotated[
        tuple[Secret, ...], Meta(description="API keys; the next is used when one is refused")
    ] = ()
    serves: Annotated[tuple[Name, ...], Meta(description="public model names; empty: its own name")] = ()
    answers_as: Annotated[
        tuple[Name, ...],
        Meta(
            description="models it may answer as, beside its own and dated versions of it; `*`: any. "
            "Answers of others are never kept. Empty with `auth = 'api-key'` (Azure): any"
        ),
    ] = ()
    priority: Annotated[int, Meta(ge=0, description="lower ones are asked first")] = 0
    weight: Annotated[float, Meta(gt=0, description="share of the calls among those of one priority")] = 1.0
    connect_s: Annotated[Seconds, Meta(description="until the connection stands")] = 3.0
    first_byte_s: Annotated[Seconds, Meta(description="until a stream's first byte")] = 10.0
    first_token_s: Annotated[Seconds, Meta(description="until a stream's first content")] = 20.0
    idle_s: Annotated[Seconds, Meta(description="between two chunks of a stream")] = 15.0
    attempt_s: Annotated[Seconds, Meta(description="one attempt, whole")] = 60.0
    attempts: Annotated[int, Meta(ge=1, le=20, description="tries of one call at this deployment")] = 2
    concurrent: Annotated[int, Meta(ge=0, description="calls at once; 0: any number")] = 0
    queue: Annotated[int, Meta(ge=0, description="calls that may wait for their turn")] = 0
    failures: Annotated[int, Meta(ge=1, description="failures in a row that open its breaker")] = 5
    ratio: Annotated[float, Meta(ge=0, le=1, description="share of failures that opens it; 0: off")] = 0.5
    minimum_calls: Annotated[int, Meta(ge=1, description="calls below which the ratio says nothing")] = 20
    open_s: Annotated[float, Meta(gt=0, description="first open time, doubled at each failed probe")] = 5.0
    longest_open_s: Annotated[float, Meta(gt=0)] = 300.0
    recovery: Annotated[str, Meta(description="`doubling`, or `fixed:<seconds>` as in fixed:300")] = (
        "doubling"
    )
    probe: Annotated[bool, Meta(description="ask for one token in the background while it is held back")] = (
        True
    )
    watch: Annotated[
        bool, Meta(description="ask for a stream where a whole answer is wanted, so that silence is noticed")
    ] = False
    headers: Annotated[dict[str, str], Meta(description="sent along with every call")] = {}
    auth: Annotated[
        Literal["usual", "bearer", "api-key", "none"], Meta(description="how the key is sent; api-key: Azure")
    ] = "usual"
    api_version: Annotated[str, Meta(description="Azure's api-version; Anthropic's version")] = ""
    organization: str = ""
    project: str = ""
    include_usage: Annotated[
        bool, Meta(description="ask for the usage of streams; off for servers that refuse stream_options")
    ] = True
    transport: Literal["lane", "aiohttp"] = "lane"

    def __post_init__(self) -> None:
        fixed_s(self.recovery)


class ModelSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What holds for one public model, `[llm.models."<name>"]`."""

    fallbacks: Annotated[tuple[Name, ...], Meta(description="models asked in turn when this one cannot")] = ()
    total_s: Annotated[float, Meta(gt=0, description="whole call with waits, retries and fallbacks")] = 120.0
    hedge_s: Annotated[
        Seconds, Meta(description="after so long without an answer a second deployment is asked; 0: never")
    ] = 0.0
    rescue: Annotated[
        Literal["off", "restart"],
        Meta(description="restart: a stream is held until it is whole, and begun anew when it is cut"),
    ] = "off"
    degraded: Annotated[
        str,
        Meta(
            description="when nobody can answer: empty for an error, `extractive`, or a text to answer with"
        ),
    ] = ""


class CacheSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[llm.cache]`: how long whole answers are good for. Decided when one is read."""

    enabled: bool = True
    ttl_s: Annotated[Seconds, Meta(description="fresh for so long")] = 3600.0
    ttls: Annotated[dict[str, Seconds], Meta(description="the same by purpose, as in summary = 86400")] = {}
    stale_s: Annotated[Seconds, Meta(description="after that, served while a new one is made")] = 300.0
    stale_if_error_s: Annotated[
        Seconds, Meta(description="after that, served when no new one can be made")
    ] = 86_400.0
    sampled: Annotated[bool, Meta(description="whether answers to temperature above 0 are kept as well")] = (
        False
    )

    def ttl_of(self, purpose: str) -> float:
        return self.ttls.get(purpose, self.ttl_s)


class SemanticSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[llm.semantic]`: answers to questions that mean the same. Off unless asked for."""

    enabled: bool = False
    threshold: Annotated[float, Meta(gt=0, le=1, description="least cosine of the two questions")] = 0.92
    most_entries: Annotated[int, Meta(ge=1)] = 10_000
    most_bytes: Annotated[int, Meta(ge=1024)] = 32 << 20
    sample: Annotated[
        float, Meta(ge=0, le=1, description="share of hits that are asked anew and compared")
    ] = 0.02


class Config(MoneySettings, frozen=True):
    """Settings of the llm room, `[llm]` in the file."""

    deployments: Annotated[
        dict[Name, Deployment], Meta(description="where models run: [llm.deployments.<name>]")
    ] = {}  # noqa: RUF012 - msgspec copies it
    models: Annotated[
        dict[Name, ModelSettings], Meta(description="what holds for a public model: [llm.models.<name>]")
    ] = {}  # noqa: RUF012 - msgspec copies it
    defaults: Annotated[ModelSettings, Meta(description="of a model that no table names")] = ModelSettings()
    default_model: Annotated[str, Meta(description="asked when no model is named; empty: the first")] = ""
    any_model: Annotated[
        bool | None,
        Meta(description="answer unknown names with the default model; unset: while nothing is deployed"),
    ] = None
    cache: CacheSettings = CacheSettings()
    semantic: SemanticSettings = SemanticSettings()
    retries: Annotated[float, Meta(ge=0, le=1, description="retries and hedges, as a share of the calls")] = (
        0.2
    )
    retries_floor: Annotated[int, Meta(ge=0, description="of them that are always allowed in 30 s")] = 3
    first_wait_s: Annotated[Seconds, Meta(description="longest wait before the second try")] = 1.0
    longest_wait_s: Annotated[Seconds, Meta(description="longest wait of our own choice")] = 60.0
    longest_retry_after_s: Annotated[Seconds, Meta(description="longest Retry-After obeyed")] = 120.0
    keys_required: Annotated[
        bool | None, Meta(description="whether the gateway asks for a virtual key; unset: in production")
    ] = None

    def settings_of(self, model: str) -> ModelSettings:
        return self.models.get(model, self.defaults)

    def public_names(self) -> dict[str, list[str]]:
        """Every public model and the deployments that serve it, in the order of the file."""
        found: dict[str, list[str]] = {}
        for name, deployment in self.deployments.items():
            for public in deployment.serves or (name,):
                found.setdefault(public, []).append(name)
        found.setdefault(EXTRACTIVE, [EXTRACTIVE])
        return found


def check(config: Config) -> None:
    """Raises Misconfigured for a name that leads nowhere."""
    known = config.public_names()
    for name, settings in config.models.items():
        _known(known, name, f"llm.models.{name}")
        for fallback in settings.fallbacks:
            _known(known, fallback, f"llm.models.{name}.fallbacks")
    for fallback in config.defaults.fallbacks:
        _known(known, fallback, "llm.defaults.fallbacks")
    if config.default_model:
        _known(known, config.default_model, "llm.default_model")
    for name, deployment in config.deployments.items():
        if deployment.provider in ("openai", "anthropic") and not deployment.base_url and not deployment.keys:
            raise Misconfigured(
                f"llm.deployments.{name} has neither base_url nor keys",
                hint="set base_url for a server of yours, or keys for the provider's own",
            )


def _known(known: Iterable[str], name: str, where: str) -> None:
    if name not in known:
        raise Misconfigured(
            f"{where} names {name!r}, which no deployment serves",
            hint=f"served are: {', '.join(sorted(known))}",
        )
