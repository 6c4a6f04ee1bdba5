"""`holdfast resilience show`: what is declared, and how the processes that share a breaker see it."""

import argparse
from collections.abc import Sequence

from holdfast.kernel.room import Verb
from holdfast.rooms.resilience.engine.guards import Guards
from holdfast.rooms.resilience.rules.settings import Dependency


class Verbs:
    """The room's commands. They run in a process of their own, so only shared states are known to them."""

    def __init__(self, guards: Guards) -> None:
        self._guards = guards

    def all(self) -> Sequence[Verb]:
        return (Verb("resilience show", "dependencies, their limits and shared states", self.show),)

    async def show(self, options: argparse.Namespace) -> int:
        """One paragraph a dependency."""
        if self._guards.shared is not None:
            await self._guards.shared.look()
        if not self._guards.watched:
            print("no dependency is declared: [resilience.dependencies.<name>] declares one")
        for name in sorted(self._guards.watched):
            settings = self._guards.watched[name].settings
            print(f"{name}")
            for line in _limits(settings):
                print(f"  {line}")
            print(f"  state     {self._state(name, settings)}")
        return 0

    def _state(self, name: str, settings: Dependency) -> str:
        if not settings.shared:
            return "each process has its own: GET /admin/resilience of the process says it"
        report = self._guards.report(name)
        if report.shared == "away":
            return "unknown: the shared store does not answer"
        wait = f", next call in {report.next_call_in_s:.1f} s" if report.next_call_in_s else ""
        return f"{report.state.replace('_', '-')} in all processes{wait}"


def _limits(settings: Dependency) -> list[str]:
    """The settings in words."""
    at_once = (
        f"{settings.concurrent} at once, {settings.queue} waiting" if settings.concurrent else "unbounded"
    )
    lines = [
        f"deadline  {settings.timeout_s:g} s" if settings.timeout_s else "deadline  the request's own",
        f"retries   {settings.attempts - 1}, at most {settings.budget:.0%} of the calls",
        f"bulkhead  {at_once}",
        f"hedge     {'yes' if settings.hedge else 'no'}",
    ]
    if settings.breaker:
        lines.append(
            f"breaker   {settings.failures} failures in a row or {settings.ratio:.0%} of "
            f"{settings.minimum_calls} calls in {settings.window_s:g} s; open {settings.open_s:g} s, "
            f"{settings.recovery}; {'shared' if settings.shared else 'per process'}"
        )
    return lines
