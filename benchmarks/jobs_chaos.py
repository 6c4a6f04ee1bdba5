"""Jobs under kill -9: worker, app, database and broker die in turn under load; what the jobs wrote is judged.

For each engine of ours and for Celery alone, default and tuned: acknowledged jobs that are lost or stuck,
fencing tokens under which a job began or finished twice, and how long the jobs of a killed worker waited for
the next. Some jobs take ten times the lease. In a run of its own the broker is emptied under load. Every run
has its id in each job and an empty database; a process that outlives its run is an error.

python -m benchmarks.jobs_chaos [--quick] [--json FILE]
"""

import contextlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from tests.brokers import machine_binary

from benchmarks.apps.chaos_stage import Engine, Outcome, Plan, Stage
from benchmarks.harness import Row, at_most, main, percentile, shown
from holdfast.stores.postgres_presence import SETTLE_S

OURS = {
    "embedded SQLite": Engine("chaos_ours", "sqlite"),
    "embedded PostgreSQL": Engine("chaos_ours", "postgres"),
    "celery, Redis": Engine("chaos_ours", "postgres", "redis", "celery"),
    "celery, RabbitMQ": Engine("chaos_ours", "postgres", "rabbit", "celery"),
}
PEERS = {
    "Celery alone, default": Engine("chaos_celery", broker="redis", setting="default"),
    "Celery alone, tuned": Engine("chaos_celery", broker="redis", setting="tuned"),
}
EMPTIED = {"celery, Redis": OURS["celery, Redis"], "Celery alone, tuned": PEERS["Celery alone, tuned"]}

FULL = Plan(kills=200, every_s=2.0, rate=20.0, lease_s=2.0, long_s=20.0, drain_s=60.0)
QUICK = Plan(kills=4, every_s=1.0, rate=20.0, lease_s=1.0, long_s=10.0, drain_s=20.0)
LANES = 3
"""Engines tormented at once in a quick run: each mostly waits."""


def outcome(engine: Engine, plan: Plan) -> Outcome:
    with contextlib.ExitStack() as stack:
        return Stage(engine, plan, stack).run()


def outcomes(quick: bool) -> tuple[dict[str, Outcome], dict[str, Outcome]]:
    """Of the kills, and of the emptied brokers."""
    plan = QUICK if quick else FULL
    less = plan._replace(kills=3 if quick else 60)
    emptied = plan._replace(kills=2 if quick else 20, long_s=1.0, targets=("emptied",))
    engines = {name: engine for name, engine in OURS.items() if engine.broker != "rabbit" or machine_binary()}
    # The slowest first, so that lanes end together.
    runs = [(engine, plan) for engine in reversed(engines.values())]
    runs += [(engine, less) for engine in PEERS.values()] + [(engine, emptied) for engine in EMPTIED.values()]
    with ThreadPoolExecutor(LANES if quick else 1) as lanes:
        found = list(lanes.map(lambda one: outcome(*one), runs))
    killed = dict(zip([*reversed(engines), *PEERS], found, strict=False))
    return {name: killed[name] for name in (*engines, *PEERS)}, dict(
        zip(EMPTIED, found[-len(EMPTIED) :], strict=True)
    )


def pickup_s(found: Outcome) -> float | None:
    waits = found.verdict.pickups_ms
    return round(percentile(waits, 0.5) / 1e3, 3) if waits else None


def told(found: Outcome) -> str:
    """The peers' cell."""
    doubled = found.verdict.side_by_side + found.verdict.again
    lost = f"lost {found.lost} of {found.verdict.acknowledged}, stuck {found.stuck}, doubled {doubled}"
    return f"{lost}, pickup {pickup_s(found)} s, {len(found.kills)} kills"


def rows_of(name: str, found: Outcome, peers: dict[str, str]) -> list[Row]:
    verdict = found.verdict
    jobs = f"of {verdict.acknowledged:,} jobs ({verdict.long_finished} of 10 x the lease)"
    rows = [
        at_most(
            f"{name}: lost after {len(found.kills)} kills", f"{found.lost} {jobs}", found.lost, 0, 0, **peers
        ),
        at_most(f"{name}: finished twice under a token", verdict.twice_a_token, verdict.twice_a_token, 0, 0),
        at_most(f"{name}: stuck", found.stuck, found.stuck, 0, 0),
    ]
    if (wait := pickup_s(found)) is not None:
        count = len(verdict.pickups_ms)
        rows.append(at_most(f"{name}: pickup on the same host, p50 s of {count}", wait, wait, 1.0, 0.5))
    if late := verdict.late_pickups_ms:
        figure = f"{name}: the same within {SETTLE_S + 1:g} s of the database's restart, p50 s of {len(late)}"
        rows.append(shown(figure, round(percentile(late, 0.5) / 1e3, 3)))
    side = f"{verdict.side_by_side} beside a living one, {verdict.again} between effect and acknowledgement"
    return [*rows, shown(f"{name}: begun again", side)]


def emptied_rows(found: dict[str, Outcome]) -> Sequence[Row]:
    ours, alone = found["celery, Redis"], found["Celery alone, tuned"]
    missing = len(ours.verdict.unfinished)
    return [
        at_most(
            f"broker emptied {len(ours.kills)} times under load: jobs lost",
            f"{missing} of {ours.verdict.acknowledged:,}",
            missing,
            0,
            0,
            Celery_alone=f"{len(alone.verdict.unfinished)} of {alone.verdict.acknowledged:,}",
        )
    ]


def run(quick: bool) -> list[Row]:
    killed, emptied = outcomes(quick)
    peers = {name: told(killed[name]) for name in PEERS}
    rows = [row for name in OURS if name in killed for row in rows_of(name, killed[name], peers)]
    return [*rows, *emptied_rows(emptied)]


if __name__ == "__main__":
    main(run, "Jobs under kill -9")
