"""What releases leave in metrics."""

from holdfast.ports.services import Meter
from holdfast.rooms.experiments.rules.canary.verdicts import Verdict
from holdfast.rooms.experiments.rules.flags import BUCKETS, Rule, Ruleset
from holdfast.rooms.experiments.rules.releases import TREATMENT


class Figures:
    """Metrics of releases, bound once."""

    def __init__(self, meter: Meter) -> None:
        self.held = 0
        self.lost = 0
        self._share = meter.gauge(
            "holdfast_experiments_release_share_ratio",
            "Share of units that get the treatment of a release.",
            ("release",),
        )
        self._verdicts = meter.counter(
            "holdfast_experiments_release_verdicts_total",
            "Verdicts on releases, counted when they change, in the process that gave them.",
            ("release", "verdict"),
        )
        self._rollbacks = meter.counter(
            "holdfast_experiments_release_rollbacks_total",
            "Releases that were rolled back, by why.",
            ("reason",),
        )
        self._failed = meter.counter(
            "holdfast_experiments_release_turns_failed_total",
            "Turns of a release that could not be taken; the next one takes over.",
        ).labels()
        meter.watch(
            "holdfast_experiments_releases_held",
            "Releases that are held: trouble of both arms, or nobody has control to compare with.",
            lambda: float(self.held),
        )
        meter.watch(
            "holdfast_experiments_release_outcomes_lost",
            "Outcomes let go because the database was away too long, in both arms alike.",
            lambda: float(self.lost),
        )

    def shares(self, ruleset: Ruleset) -> None:
        """How many get the treatment of each release, by the rules that this process goes by from now on."""
        for flag in ruleset.flags.values():
            if flag.kind == "release":
                opened = max(map(_opened, flag.rules), default=0)
                self._share.labels(flag.name).set(opened / BUCKETS if flag.enabled else 0.0)

    def judged(self, release: str, verdict: Verdict) -> None:
        """The verdict is another one than before."""
        self._verdicts.labels(release, verdict.kind.lower()).add()

    def rolled_back(self, why: str) -> None:
        """One more."""
        self._rollbacks.labels(why).add()

    def failed(self) -> None:
        """A turn that could not be taken."""
        self._failed.add()


def _opened(rule: Rule) -> int:
    if rule.split is not None:
        return rule.split.rollout
    return BUCKETS if rule.variant == TREATMENT else 0
