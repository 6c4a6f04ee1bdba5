"""What the jobs wrote, judged: lost, finished twice, picked up when. Pure; nobody's ledger is asked."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from benchmarks.apps.jobs_trace import ACKNOWLEDGED, FINISHED, STARTED, Line

JUST_BACK = "worker, the database just back"
"""Such a kill's pickups are told apart: for some seconds after its restart nobody is taken for dead."""


class Kill(NamedTuple):
    """What was killed when; `pids` are the processes of a worker."""

    target: str
    at_ns: int
    pids: frozenset[int] = frozenset()


class Execution(NamedTuple):
    """One start of one job."""

    job: int
    token: str
    pid: int
    started_ns: int
    finished_ns: int | None


class Verdict(NamedTuple):
    """The figures of one run of the kill test."""

    acknowledged: int
    unfinished: frozenset[int]
    """Acknowledged jobs that never finished."""
    twice_a_token: int
    """Tokens under which a job began or finished twice: two believed that it was theirs."""
    side_by_side: int
    """Jobs that began again while an execution went on that then finished: nothing had died."""
    again: int
    """Jobs that finished again after a kill: it came between their effect and its acknowledgement."""
    long_finished: int
    pickups_ms: list[float]
    """From the kill of a worker to the next start of each job that it was running."""
    late_pickups_ms: list[float]
    """The same where the database had just been killed, too."""


def executions(lines: Iterable[Line]) -> dict[int, list[Execution]]:
    """Starts by job in their order, each with its end."""
    begun: dict[tuple[int, str, int], list[Line]] = defaultdict(list)
    ended: dict[tuple[int, str, int], list[Line]] = defaultdict(list)
    for line in lines:
        if line.kind in (STARTED, FINISHED):
            (begun if line.kind == STARTED else ended)[line.job, line.token, line.pid].append(line)
    found: dict[int, list[Execution]] = defaultdict(list)
    for key, starts in begun.items():
        ends = [line.at_ns for line in ended[key]]
        for at, start in enumerate(starts):
            end = ends[at] if at < len(ends) else None
            found[start.job].append(Execution(start.job, start.token, start.pid, start.at_ns, end))
    for each in found.values():
        each.sort(key=lambda one: one.started_ns)
    return found


def pickups_ms(
    by_job: dict[int, list[Execution]], kills: Sequence[Kill], target: str = "worker"
) -> list[float]:
    """For each killed worker, how long each job that it was running waited for its next start."""
    found = []
    for kill in kills:
        if kill.target != target:
            continue
        for each in by_job.values():
            for at, one in enumerate(each):
                was_running = one.pid in kill.pids and one.finished_ns is None and one.started_ns < kill.at_ns
                if not was_running or at + 1 == len(each):
                    continue
                waited_ns = each[at + 1].started_ns - kill.at_ns
                if waited_ns > 0:  # else it had been stopped before, with the database, and was picked up
                    found.append(waited_ns / 1e6)
    return found


def judge(lines: Sequence[Line], kills: Sequence[Kill], is_long: Iterable[int] = ()) -> Verdict:
    acknowledged = {line.job for line in lines if line.kind == ACKNOWLEDGED}
    finished = Counter(line.job for line in lines if line.kind == FINISHED)
    by_job = executions(lines)
    tokens = Counter((line.kind, line.job, line.token) for line in lines if line.kind != ACKNOWLEDGED)
    twice = {(job, token) for (_, job, token), count in tokens.items() if count > 1}
    side = {job for job, each in by_job.items() if _overlap(each)}
    again = {job for job, count in finished.items() if count > 1} - side
    return Verdict(
        acknowledged=len(acknowledged),
        unfinished=frozenset(acknowledged - set(finished)),
        twice_a_token=len(twice),
        side_by_side=len(side),
        again=len(again),
        long_finished=len(set(is_long) & set(finished)),
        pickups_ms=pickups_ms(by_job, kills),
        late_pickups_ms=pickups_ms(by_job, kills, JUST_BACK),
    )


def _overlap(each: Sequence[Execution]) -> bool:
    return any(
        later.started_ns < one.finished_ns
        for at, one in enumerate(each)
        if one.finished_ns is not None
        for later in each[at + 1 :]
    )
