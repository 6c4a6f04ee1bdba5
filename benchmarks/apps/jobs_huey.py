"""Huey on SQLite with fsync on and 8 threads; it cannot enqueue many together, so a batch is a loop."""

from collections.abc import Sequence

from huey import SqliteHuey

from benchmarks.apps.jobs_peer import TOLD, play, serve_enqueuer, started

huey = SqliteHuey("bench", filename=TOLD.url, fsync=True, results=False)


@huey.task(name="noop")
def noop(run: str, job: int) -> None:
    started(run, job)


def one(job: int) -> None:
    noop(TOLD.run, job)


def batch(jobs: Sequence[int]) -> None:
    for job in jobs:
        one(job)


def work() -> None:
    huey.create_consumer(workers=8).run()


if __name__ == "__main__":
    play(lambda: None, work, lambda: serve_enqueuer(one, batch))
