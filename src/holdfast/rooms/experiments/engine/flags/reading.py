"""Reads flags for callers that speak OpenFeature: its provider in this process, its clients over OFREP.

provider: key, context ──look──▶ Evaluation ──use──▶ record of the current request, event once a day
OFREP:    key, context ──look_for──▶ Evaluation ──exposed──▶ the event alone: the work is done elsewhere
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from holdfast.kernel.context import current
from holdfast.kernel.errors import Misconfigured
from holdfast.rooms.experiments.engine.flags.asking import Asking
from holdfast.rooms.experiments.engine.flags.door import depends
from holdfast.rooms.experiments.engine.flags.exposing import Exposing
from holdfast.rooms.experiments.engine.tracking import Tracking
from holdfast.rooms.experiments.rules.assigning import BadUnit, is_named, normalise
from holdfast.rooms.experiments.rules.evaluating import failed
from holdfast.rooms.experiments.rules.flags import Evaluation, Flag
from holdfast.rooms.experiments.rules.ofrep import Asked, Tags, fault_of, unit_of

if TYPE_CHECKING:
    from holdfast.rooms.experiments.openfeature.hook import ForeignHook
    from holdfast.rooms.experiments.openfeature.provider import HoldfastProvider

Look = Callable[..., Evaluation | None]


class Reading:
    """Flags as OpenFeature asks for them: a look first, its use apart."""

    def __init__(
        self,
        look: Look,
        asking: Asking,
        exposing: Exposing,
        tracking: Tracking,
        wall: Callable[[], float],
    ) -> None:
        self._look = look
        self._asking = asking
        self._rulebook = asking.rulebook
        self._exposing = exposing
        self._wall = wall
        self._tags = Tags(self._rulebook.ruleset)
        self._provider: HoldfastProvider | None = None
        self.track = tracking.track

    @property
    def version(self) -> int | None:
        """Of the rules in use; None before any were read."""
        version = self._rulebook.ruleset.version
        return None if version < 0 else version

    @property
    def is_stale(self) -> bool:
        """Whether the rules may be older than those in the database."""
        return self._rulebook.stale

    @property
    def flags(self) -> Mapping[str, Flag]:
        """Every flag there is, by name."""
        return self._rulebook.ruleset.flags

    # -- in this process ------------------------------------------------------------------------

    def look(self, flag: Flag, unit: object, attributes: Mapping[str, Any]) -> Evaluation:
        """What this unit would get where the code runs, errors counted.

        In a request nobody in particular is its caller, who may be unknown and then gets what is off, as from
        `variant()`. Outside one it is an error to ask for nobody where units are parted.
        """
        ctx = current()
        who = unit_of(flag, unit, attributes)
        known = {"user": unit, **attributes} if is_named(unit) else attributes
        found = self._look(flag.name, who, known, ctx)
        if found is None:
            return failed(flag.name, "FLAG_NOT_FOUND")
        if ctx is None and not found.error and (fault := fault_of(found, flag)):
            self.failed(flag.name, fault)
            return failed(flag.name, fault, flag)
        return found

    def use(self, evaluation: Evaluation) -> None:
        """Its exposure, where it counts; of another provider's choice the request depends from here on."""
        ctx = current()
        if ctx is not None:
            depends(ctx, evaluation)
        if evaluation.counted:
            self._exposing.used(evaluation, ctx)

    def failed(self, name: str, code: str) -> None:
        """Count an evaluation whose caller gets a default and hears of nothing."""
        self._asking.erred(name, code)

    def provider(self) -> "HoldfastProvider":
        """The one OpenFeature provider of this room. Raises Misconfigured where the SDK is not installed."""
        if self._provider is None:
            with _told_what_to_install():
                from holdfast.rooms.experiments.openfeature.provider import HoldfastProvider
            self._provider = HoldfastProvider(self)
        return self._provider

    def exposure_hook(self) -> "ForeignHook":
        """Records exposures of flags that another provider decides. Raises as `provider` does."""
        with _told_what_to_install():
            from holdfast.rooms.experiments.openfeature.hook import ForeignHook
        return ForeignHook(self)

    async def pulse(self) -> None:
        """Keep the provider's status true."""
        if self._provider is not None:
            self._provider.pulse()

    # -- for others -----------------------------------------------------------------------------

    def look_for(self, flag: Flag, asked: Asked) -> Evaluation:
        """What somebody gets who is described in `asked`: nothing of the current request is heeded."""
        try:
            who = normalise(unit_of(flag, asked.unit, asked.attributes))
        except BadUnit:
            return failed(flag.name, "INVALID_CONTEXT", flag)
        found = self._look(flag.name, who, {"user": asked.unit or None, **asked.attributes})
        return failed(flag.name, "FLAG_NOT_FOUND") if found is None else found

    def tag(self, asked: Asked, *, everyone: bool) -> str:
        """The entity tag of all that `look_for` gives for this context now."""
        ruleset = self._rulebook.ruleset
        if self._tags.ruleset is not ruleset:
            self._tags = Tags(ruleset)
        return self._tags.tag(asked, int(self._wall() * 1000), stale=self._rulebook.stale, everyone=everyone)

    def exposed(self, evaluation: Evaluation) -> None:
        """Its exposure, where it counts, by somebody whose work this process does not see."""
        if evaluation.counted:
            self._exposing.used(evaluation, None)


@contextmanager
def _told_what_to_install() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as missing:
        if (missing.name or "").split(".")[0] != "openfeature":
            raise
        raise Misconfigured(
            "OpenFeature's clients need its SDK", hint="pip install 'holdfast[openfeature]'"
        ) from None
