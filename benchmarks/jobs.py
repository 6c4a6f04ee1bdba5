"""Jobs: no-op jobs a second, enqueueing and time to start, over Celery + Redis and others, in one run.

Ours keep the full ledger (events, attempts, results, unique keys, every commit on the disk), the peers what
their documentation recommends. Rounds are interleaved. Each turn of each contender has an empty database or
Redis, a run id of its own in every job, and fails when a process of it is left. Rates are of job starts over
the middle 90 %, by the stamps that the jobs append to a file.

python -m benchmarks.jobs [--quick] [--json FILE]
"""

import contextlib
import os
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.apps.jobs_crew import Crew, Member, until
from benchmarks.apps.jobs_servers import Servers
from benchmarks.apps.jobs_trace import Reader, Told
from benchmarks.harness import Row, at_least, at_most, main, median, percentile, shown

PATIENCE_S = 120.0
PROBES_A_SECOND = 20
BATCH = 100


class Contender(NamedTuple):
    """An engine under test: its app in `benchmarks/apps`, where it keeps jobs, its way."""

    app: str
    place: str
    setting: str = ""

    @property
    def has_tables(self) -> bool:
        """Whether there is anything to prepare."""
        return self.place in ("sqlite", "postgres")


OURS = {
    "sqlite": Contender("jobs_ours", "sqlite"),
    "postgres": Contender("jobs_ours", "postgres"),
}
CELERY = {"celery threads": Contender("jobs_celery", "redis", "threads")}
SHOWN = {
    "celery prefork": Contender("jobs_celery", "redis", "prefork"),
    "saq": Contender("jobs_saq", "redis"),
    "taskiq": Contender("jobs_taskiq", "redis"),
    "huey": Contender("jobs_huey", "file"),
    "procrastinate": Contender("jobs_procrastinate", "postgres"),
    "dbos sqlite": Contender("jobs_dbos", "sqlite"),
    "dbos postgres": Contender("jobs_dbos", "postgres"),
}


class Sizes(NamedTuple):
    """How much one turn does."""

    one_by_one: int
    in_batches: int
    probes: int


class Figures(NamedTuple):
    """What one turn of one contender gave."""

    one_rate: float
    batch_rate: float
    start_rate: float
    p50_ms: float
    p99_ms: float
    rss_mb: float
    cpu_us: float
    """Of the worker and its children, a job, without their start; 0 where /proc does not tell."""
    doubled: int
    """Jobs that began twice although nothing was killed."""


def middle_rate(stamps_ns: Sequence[int]) -> float:
    """Starts a second between the 5th and the 95th hundredth."""
    ordered = sorted(stamps_ns)
    low, high = len(ordered) // 20, len(ordered) - len(ordered) // 20 - 1
    return (high - low) / (ordered[high] - ordered[low]) * 1e9


def cpu_s(member: Member) -> float:
    """Processor time of a worker and its children so far."""
    ticks = 0
    for pid in member.pids():
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def rss_mb(member: Member) -> float:
    """Resident memory of a worker and its children; 0 where /proc does not tell."""
    pages = 0
    for pid in member.pids():
        with contextlib.suppress(OSError):
            pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


class Turn:
    """One contender's turn: enqueue, then run what was enqueued, then probe an idle worker."""

    def __init__(self, contender: Contender, crew: Crew) -> None:
        self._contender = contender
        self._module = f"benchmarks.apps.{contender.app}"
        self._crew = crew
        self._reader = Reader(crew.told.trace, crew.told.run)
        self._starts: dict[int, int] = {}
        self._doubled = 0

    def measure(self, sizes: Sizes) -> Figures:
        if self._contender.has_tables:
            prepare = self._crew.start("prepare", "-m", self._module, "prepare")
            if prepare.process.wait(PATIENCE_S):
                raise RuntimeError(f"{self._module} does not prepare")
        client = self._crew.start("enqueue", "-m", self._module, "enqueue", is_asked=True)
        client.hear()
        client.ask(verb="one", first=0, count=20)  # connections, compiled statements
        client.ask(verb="batch", first=20, count=BATCH, size=BATCH)
        warm = 20 + BATCH
        one = client.ask(verb="one", first=warm, count=sizes.one_by_one)
        batch = client.ask(verb="batch", first=warm + sizes.one_by_one, count=sizes.in_batches, size=BATCH)
        worker = self._crew.start("work", "-m", self._module, "work")
        count = warm + sizes.one_by_one + sizes.in_batches
        self._await(count // 20)
        known, spent = len(self._starts), cpu_s(worker)
        self._await(count)
        cpu_us = (cpu_s(worker) - spent) / max(1, count - known) * 1e6
        rate, memory = middle_rate(list(self._starts.values())), rss_mb(worker)
        latencies = self._probe(client, count, sizes.probes) if sizes.probes else [float("nan")]
        self._crew.dismiss(worker)
        return Figures(
            sizes.one_by_one / one["seconds"],
            sizes.in_batches / batch["seconds"],
            rate,
            percentile(latencies, 0.5),
            percentile(latencies, 0.99),
            memory,
            cpu_us,
            self._doubled,
        )

    def _probe(self, client: Member, first: int, count: int) -> list[float]:
        """Milliseconds from just before a job is enqueued until it begins, on an idle worker."""
        warm = 5
        client.ask(verb="paced", first=first, count=warm, rate=PROBES_A_SECOND)
        begun = client.ask(verb="paced", first=first + warm, count=count, rate=PROBES_A_SECOND)["begun_ns"]
        self._await(first + warm + count)
        return [(self._starts[first + warm + at] - stamp) / 1e6 for at, stamp in enumerate(begun)]

    def _await(self, count: int) -> None:
        until(lambda: self._seen() >= count, f"{count} jobs start in {self._module}", PATIENCE_S)

    def _seen(self) -> int:
        for line in self._reader.news():
            self._doubled += line.job in self._starts
            self._starts.setdefault(line.job, line.at_ns)
        return len(self._starts)


def turn(contender: Contender, servers: Servers, sizes: Sizes) -> Figures:
    with tempfile.TemporaryDirectory(prefix="holdfast-jobs-") as name:
        told = Told(
            uuid.uuid4().hex[:8], servers.url(contender.place, Path(name)), Path(name), contender.setting
        )
        with Crew(told) as crew:
            try:
                return Turn(contender, crew).measure(sizes)
            except RuntimeError as error:
                raise RuntimeError(f"{error}\n{crew.said()}") from error


def disk_rate(seconds: float) -> float:
    """Commits a second that the disk allows one after the other: append a page, wait for it."""
    with tempfile.NamedTemporaryFile() as file:
        count, started_at = 0, time.perf_counter()
        while time.perf_counter() - started_at < seconds:
            os.write(file.fileno(), b"x" * 4096)
            os.fdatasync(file.fileno())
            count += 1
        return count / (time.perf_counter() - started_at)


Rounds = dict[str, list[Figures]]


def measured(quick: bool) -> Rounds:
    """Figures of each contender, a turn each in every round."""
    sizes = Sizes(300, 500, 50) if quick else Sizes(1_000, 2_000, 200)
    brief = Sizes(100, 200, 0) if quick else sizes
    found: Rounds = {name: [] for name in (*OURS, *CELERY, *SHOWN)}
    with contextlib.ExitStack() as stack:
        servers = Servers(stack)
        for _ in range(1 if quick else 5):
            for name, contender in (*OURS.items(), *CELERY.items()):
                found[name].append(turn(contender, servers, sizes))
            for name, contender in SHOWN.items():
                found[name].append(turn(contender, servers, brief))
    return found


def over(
    found: Rounds, ours: str, figure: Callable[[Figures], float], theirs: Callable[[Figures], float]
) -> float:
    """Our figure over Celery's of the same round, median over the rounds."""
    pairs = zip(found[ours], found["celery threads"], strict=True)
    return median([figure(one) / theirs(other) for one, other in pairs])


def peers(found: Rounds, figure: Callable[[Figures], float], unit: str) -> dict[str, str]:
    """Everybody else's, as a median."""
    return {
        name: f"{median([figure(one) for one in turns]):,.0f}{unit}"
        for name, turns in found.items()
        if name not in OURS
    }


def best_batch(figures: Figures) -> float:
    """Celery's way to send many is no faster than one by one: it is given the better of the two."""
    return max(figures.batch_rate, figures.one_rate)


def rows_of(found: Rounds, disk: float) -> list[Row]:
    rows = []
    for name in OURS:
        mine = found[name]

        def told(figure: Callable[[Figures], float], unit: str = "/s", mine: list[Figures] = mine) -> str:
            return f"{median([figure(one) for one in mine]):,.0f}{unit}"

        rows += [
            at_least(
                f"{name}: no-op jobs a second, full ledger / Celery + Redis threads",
                told(lambda f: f.start_rate),
                over(found, name, lambda f: f.start_rate, lambda f: f.start_rate),
                3.0,
                6.0,
                **peers(found, lambda f: f.start_rate, "/s"),
            ),
            at_least(
                f"{name}: enqueue one at a time / Celery + Redis",
                told(lambda f: f.one_rate),
                over(found, name, lambda f: f.one_rate, lambda f: f.one_rate),
                1.5,
                2.0,
                **peers(found, lambda f: f.one_rate, "/s"),
                disk=f"{disk:,.0f}/s",
            ),
            at_least(
                f"{name}: enqueue in batches of {BATCH} / Celery + Redis, its better way",
                told(lambda f: f.batch_rate),
                over(found, name, lambda f: f.batch_rate, best_batch),
                10.0,
                30.0,
                **peers(found, lambda f: f.batch_rate, "/s"),
            ),
            at_most(
                f"{name}: enqueue -> start at {PROBES_A_SECOND}/s, p99 / Celery + Redis p50",
                f"p50 {told(lambda f: f.p50_ms, ' ms')}, p99 {told(lambda f: f.p99_ms, ' ms')}",
                over(found, name, lambda f: f.p99_ms, lambda f: f.p50_ms),
                4.0,
                2.0,
                **latencies(found),
            ),
            shown(
                f"{name}: processor time of the worker, a job",
                told(lambda f: f.cpu_us, " us"),
                **peers(found, lambda f: f.cpu_us, " us"),
            ),
            shown(
                f"{name}: memory of the worker",
                told(lambda f: f.rss_mb, " MB"),
                **peers(found, lambda f: f.rss_mb, " MB"),
            ),
        ]
    return [*rows, doubled(found)]


def doubled(found: Rounds) -> Row:
    counts = {name: sum(one.doubled for one in turns) for name, turns in found.items()}
    ours = sum(counts.pop(name) for name in OURS)
    return at_most("jobs that began twice, nothing having been killed", ours, ours, 0, 0, **counts)


def latencies(found: Rounds) -> dict[str, str]:
    """p50 and p99 of those that were probed."""
    return {
        name: f"{median([one.p50_ms for one in turns]):.1f}/{median([one.p99_ms for one in turns]):.1f} ms"
        for name, turns in found.items()
        if name not in OURS and turns[0].p50_ms == turns[0].p50_ms
    }


def run(quick: bool) -> list[Row]:
    return rows_of(measured(quick), disk_rate(1.0))


if __name__ == "__main__":
    main(run, "Durable jobs")
