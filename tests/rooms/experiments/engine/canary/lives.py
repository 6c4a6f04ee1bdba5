"""A site of several processes over one database, with a clock that the test owns."""

from holdfast.kernel.clock import ManualClock
from holdfast.kernel.ids import IdSource
from holdfast.rooms.experiments.engine.changes import Changes
from holdfast.rooms.experiments.rules.outcomes import Outcome, Use
from holdfast.rooms.experiments.rules.releases import TREATMENT, Gate, Release, Stage
from holdfast.rooms.experiments.rules.settings import Config
from tests.meters import RecordingMeter

NAME = "ranker"
STEP_S = 10.0


def release(**changes):
    """A release whose stages take a minute each."""
    shares = changes.pop("shares", (500, 2500, 5000, 10_000))
    dwell_s = changes.pop("dwell_s", 60.0)
    given = {
        "name": NAME,
        "stages": tuple(
            Stage(share, dwell_s, samples=200, deadline_s=max(3600.0, 4 * dwell_s)) for share in shares
        ),
        "gates": (Gate("errors"),),
        "version": "v2",
    }
    return Release(**(given | changes))


class Process:
    """One process of the site; `skew_s` is how far its wall clock is off."""

    def __init__(self, sql, *, shared=None, skew_s=0.0, seed=11):
        self.clock = ManualClock(monotonic_s=1_000.0 + skew_s)
        self.clock.step_wall(skew_s)
        self.meter = RecordingMeter()
        self.changes = Changes(
            Config(), sql=sql, clock=self.clock, shared=shared, meter=self.meter, ids=IdSource(seed)
        )
        self.releases = self.changes.releases
        self.store = self.releases.store

    async def start(self):
        await self.changes.rulebook.start()
        return self

    def arm(self, unit, name=NAME):
        found = self.changes.look(name, unit)
        return Use(found.variant, found.unit, found.phase)

    def serve(self, units, fails=lambda arm, at: False, *, seconds=0.01, kind="request", name=NAME):
        """Requests of these units, one each."""
        for at, unit in enumerate(units):
            use = self.arm(unit, name)
            self.changes.intake.called(
                Outcome(
                    kind=kind,
                    at_s=self.clock.wall(),
                    user=unit,
                    uses={name: use},
                    name="GET /shop",
                    failed=fails(use.variant, at),
                    seconds=seconds(use.variant, at) if callable(seconds) else seconds,
                    request_id=f"request-{unit}-{self.clock.wall():.0f}",
                    trace_id="4bf92f3577b34da6a3ce929d0e0e4736",
                    error="ValueError" if fails(use.variant, at) else "",
                )
            )

    async def standing(self, name=NAME):
        return await self.store.one(name)

    async def share(self, name=NAME):
        await self.changes.rulebook.refresh()
        [rule] = self.changes.rulebook.ruleset.flags[name].rules
        if rule.split is not None:
            return rule.split.rollout
        return 10_000 if rule.variant == TREATMENT else 0


class Site:
    """Processes side by side; a step serves, counts and judges."""

    def __init__(self, *processes):
        self.processes = processes
        self.served = 0

    def advance(self, seconds=STEP_S):
        for process in self.processes:
            process.clock.advance(seconds)

    async def step(self, fails=lambda arm, at: False, *, requests=1000, seconds=0.01):
        """Ten seconds: every process serves its part, then counts, then takes its turn."""
        self.advance()
        for process in self.processes:
            await process.changes.rulebook.refresh()
            part = requests // len(self.processes)
            start = self.served
            self.served += part
            process.serve([f"user-{start + n}" for n in range(part)], fails, seconds=seconds)
        for process in self.processes:
            await process.changes.flush()
        for process in self.processes:
            await process.changes.turn()

    async def until(self, status, fails=lambda arm, at: False, *, most=200, **how):
        """Steps until the release stands so; how many they were."""
        for steps in range(1, most + 1):
            await self.step(fails, **how)
            standing = await self.processes[0].standing()
            if standing.status == status:
                return steps
        raise AssertionError(f"after {most} steps it is {standing.status}: {standing.verdict}")


def healthy(arm, at):
    """One error in 500, in both arms alike."""
    return at % 500 == 499


def broken(arm, at):
    """The treatment fails one time in ten."""
    return at % 500 == 499 or (arm == TREATMENT and at % 10 == 0)


def outage(arm, at):
    """Both arms fail one time in ten."""
    return at % 10 == 0
