"""Asks the rules, and counts what goes wrong: an error gives what nobody's absence would break."""

import logging
from collections.abc import Mapping
from typing import Any

import msgspec

from holdfast.kernel.clock import Clock
from holdfast.kernel.room import Finding
from holdfast.ports.services import Meter
from holdfast.rooms.experiments.engine.flags.rulebook import Rulebook
from holdfast.rooms.experiments.rules.evaluating import failed
from holdfast.rooms.experiments.rules.flags import Evaluation

logger = logging.getLogger("holdfast.experiments")
ERR_FOR_S = 60.0
"""How long after an error health says so."""
MOST_ERRING = 100
"""Names of flags that are counted apart; more are counted as `(other)`."""


class Asking:
    """Evaluations of this process, never raising, with their errors in a metric and in health."""

    def __init__(self, rulebook: Rulebook, clock: Clock, meter: Meter) -> None:
        self.rulebook = rulebook
        self._clock = clock
        self._erred: dict[str, tuple[float, str]] = {}
        self._errors = meter.counter(
            "holdfast_experiments_evaluation_errors_total",
            "Evaluations that went wrong and gave what the flag gives while it is off.",
            ("flag",),
        )

    def evaluate(self, name: str, unit: object, attributes: Mapping[str, Any] | None) -> Evaluation:
        """What `unit` gets of the flag now."""
        rulebook = self.rulebook
        try:
            found = rulebook.decider.evaluate(name, unit, attributes, int(self._clock.wall() * 1000))
        except Exception:  # noqa: BLE001 - logged and counted there
            return self.broken(name)
        if found.error:
            self.erred(name, found.error)
        elif rulebook.stale:
            return msgspec.structs.replace(found, reason="STALE")
        return found

    def broken(self, name: object) -> Evaluation:
        """What an evaluation gives that raised. Called where it did; whatever the name is, it is logged."""
        logger.exception("flag %.100r could not be evaluated", name)
        text = name if isinstance(name, str) else "(no name)"
        self.erred(text, "GENERAL")
        return failed(text, "GENERAL", self.rulebook.ruleset.flags.get(text))

    def off(self, name: str, unit: str = "") -> Evaluation:
        """What somebody gets who takes no part."""
        return self.rulebook.decider.off(name, unit)

    def erred(self, name: str, error: str) -> None:
        """Count it, and let health say so for a while."""
        if name not in self._erred and len(self._erred) >= MOST_ERRING:
            name = "(other)"
        self._erred[name] = (self._clock.monotonic(), error)
        self._errors.labels(name).add()

    async def finding(self) -> Finding:
        """Degraded while flags err or the rules are stale; requests go on either way."""
        since = self._clock.monotonic() - ERR_FOR_S
        recent = {name: error for name, (at, error) in self._erred.items() if at >= since}
        # Code that asks for a flag before anyone has made it is no fault of this process; it is shown.
        unknown = sorted(name for name, error in recent.items() if error == "FLAG_NOT_FOUND")
        erring = {name: error for name, error in recent.items() if error != "FLAG_NOT_FOUND"}
        ruleset = self.rulebook.ruleset
        facts = {
            "version": ruleset.version,
            "flags": len(ruleset.flags),
            "erring": erring,
            "unknown": unknown,
        }
        if self.rulebook.stale:
            return Finding("degraded", "the rules cannot be read: the last ones hold", facts)
        if erring:
            return Finding("degraded", f"flags that err: {', '.join(sorted(erring))}", facts)
        return Finding(facts=facts)
