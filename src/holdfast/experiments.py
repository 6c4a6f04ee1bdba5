"""Safe change where it is used, without an object in hand; and the nouns to declare it with.

    from holdfast import experiments

    ranker = experiments.variant("new-ranker", user)
    size = experiments.value("page-size", 20)
    experiments.track("bought", value=39_000)

They speak to the room that was started last in this process; before that everybody gets what the code does
by itself. Inside a request the user may be left out.
"""

from holdfast.rooms.experiments.engine.installed import track, value, variant
from holdfast.rooms.experiments.rules.experiments import Arm, Experiment, Measure, Metric, Plan, Watched
from holdfast.rooms.experiments.rules.flags import Condition, Flag, Lane, Rule, Segment, Split
from holdfast.rooms.experiments.rules.releases import Gate, Release, Stage

__all__ = [
    "Arm",
    "Condition",
    "Experiment",
    "Flag",
    "Gate",
    "Lane",
    "Measure",
    "Metric",
    "Plan",
    "Release",
    "Rule",
    "Segment",
    "Split",
    "Stage",
    "Watched",
    "track",
    "value",
    "variant",
]
