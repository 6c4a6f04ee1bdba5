"""Every deployment with every key of it: what a call may go to, each behind a guard of its own."""

from collections.abc import Callable, Mapping, Sequence

from holdfast.kernel.clock import Clock
from holdfast.kernel.guard import BreakerRules, BulkheadRules, Guard
from holdfast.ports.guards import Guards, Probe
from holdfast.rooms.llm.providers.provider import Body, Provider
from holdfast.rooms.llm.rules.failures import Kind, ProviderFailed, verdict
from holdfast.rooms.llm.rules.routing import Candidate
from holdfast.rooms.llm.rules.settings import EXTRACTIVE, Config, Deployment

_FIRST_QUIET_S, _QUIET_S = 10.0, 20.0
"""A probe is not sent so soon after an attempt, nor so soon after a probe that has failed: a dead provider is
left alone, and one that is back is noticed within half a minute."""


class Path:
    """One deployment with one key."""

    __slots__ = (
        *("asked_at", "guard", "is_probed", "key", "name", "provider"),
        *("quiet_s", "settings", "stranger", "upstream"),
    )

    def __init__(self, name: str, settings: Deployment, provider: Provider, key: str) -> None:
        self.name = name
        self.settings = settings
        self.provider = provider
        self.key = key
        self.upstream = settings.model or name
        self.guard: Guard
        self.asked_at = 0.0
        """Monotonic seconds of the last attempt that was let in."""
        self.is_probed = False
        """Whether somebody finds out in the background that it is back: then callers need not."""
        self.quiet_s = _FIRST_QUIET_S
        self.stranger = ""
        """The last model in whose name it answered though it should not."""

    def body_for(self, body: Body, *, stream: bool) -> Body:
        """The caller's body as this deployment gets it."""
        found = {**body, "model": self.upstream}
        if self.settings.provider != EXTRACTIVE:
            found.pop("passages", None)  # ours: whoever gave them has written them into the prompt as well
        if stream:
            found["stream"] = True
        else:
            found.pop("stream", None)
            found.pop("stream_options", None)
        return found

    def answers_as(self, public: str) -> tuple[str, ...]:
        """The models in whose name it may answer; empty: any."""
        settings = self.settings
        renamed = settings.auth == "api-key" and not settings.answers_as  # Azure's deployments are aliases
        if settings.provider == EXTRACTIVE or "*" in settings.answers_as or renamed:
            return ()
        return (self.upstream, public, *settings.answers_as)

    def candidate(self, index: int, rank: int) -> Candidate:
        settings = self.settings
        return Candidate(index, self.upstream, rank, settings.priority, settings.weight, settings.attempts)


class Chain:
    """All that a call of one public model may go to: its paths, then those of its fallbacks."""

    __slots__ = ("candidates", "paths")

    def __init__(self, ranked: Sequence[tuple[int, Path]]) -> None:
        """`ranked`: each path with its rank in the chain of fallbacks."""
        self.paths = [path for _, path in ranked]
        self.candidates = [path.candidate(at, rank) for at, (rank, path) in enumerate(ranked)]
        """The paths as far as choosing is concerned, at the same places."""


class Paths:
    """The paths of every public model, with the fallback chains behind them."""

    def __init__(
        self,
        config: Config,
        guards: Guards,
        clock: Clock,
        make: Callable[[str, Deployment], Provider],
    ) -> None:
        self._config = config
        self._clock = clock
        self.providers: dict[str, Provider] = {}
        self.probed: Callable[[Path, Body, float, Body | None, BaseException | None], None] | None = None
        """Told of each probe: its path, what was asked, when it began, the answer or the error."""
        self._of: dict[str, list[Path]] = {}
        self.all: list[Path] = []
        deployments = {EXTRACTIVE: Deployment(provider="extractive", probe=False), **config.deployments}
        for name, settings in deployments.items():
            self._add(name, settings, guards, make)
        self.public: Mapping[str, Sequence[str]] = config.public_names()
        self._chains = {name: Chain(self._ranked(name)) for name in self.public}

    def _add(
        self, name: str, settings: Deployment, guards: Guards, make: Callable[[str, Deployment], Provider]
    ) -> None:
        provider = self.providers[name] = make(name, settings)
        keys = [key.reveal() for key in settings.keys] or [""]
        for number, key in enumerate(keys, 1):
            label = name if len(keys) == 1 else f"{name}#{number}"
            path = Path(label, settings, provider, key)
            path.is_probed = settings.probe and guards.probes
            path.guard = guards.guard(
                f"llm:{label}",
                verdict=verdict,
                probe=self._probe_of(path) if settings.probe else None,
                options=guard_options(settings),
            )
            self._of.setdefault(name, []).append(path)
            self.all.append(path)

    def of(self, model: str) -> Chain:
        """What a public model may go to."""
        return self._chains[model]

    def _ranked(self, model: str) -> list[tuple[int, Path]]:
        models = [model, *self._config.settings_of(model).fallbacks]
        found: list[tuple[int, Path]] = []
        seen: set[str] = set()
        for rank, public in enumerate(dict.fromkeys(models)):
            for name in self.public[public]:
                if name not in seen:
                    seen.add(name)
                    found += [(rank, path) for path in self._of[name]]
        return found

    def _probe_of(self, path: Path) -> Probe:
        async def probe() -> None:
            if self._clock.monotonic() - path.asked_at < path.quiet_s:
                raise ProviderFailed(Kind.RATE_LIMITED, "it was asked a moment ago")
            began = path.asked_at = self._clock.monotonic()
            body: Body = {
                "model": path.upstream,
                "messages": [{"role": "user", "content": "ping"}],
                "max_tokens": 1,
            }
            answer, error = None, None
            path.quiet_s = _QUIET_S
            try:
                answer = await path.provider.chat(body, path.key)
                path.quiet_s = _FIRST_QUIET_S
            except BaseException as caught:
                error = caught
                raise
            finally:
                if self.probed is not None:
                    self.probed(path, body, began, answer, error)

        return probe

    async def close(self) -> None:
        for provider in self.providers.values():
            await provider.close()


def guard_options(settings: Deployment) -> dict[str, object]:
    """Breaker and bulkhead of a deployment. Time limits are kept by the attempt, retries by the call."""
    return {
        "timeout_s": None,
        "retry": None,
        "hedge": None,
        "breaker": BreakerRules(
            failures=settings.failures,
            ratio=settings.ratio,
            minimum_calls=settings.minimum_calls,
            open_s=settings.open_s,
            longest_open_s=settings.longest_open_s,
            recovery=settings.recovery,
            cool_down=True,
        ),
        "bulkhead": BulkheadRules(concurrent=settings.concurrent, queue=settings.queue)
        if settings.concurrent
        else None,
    }
