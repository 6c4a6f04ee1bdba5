"""Celery on Redis: acknowledged late, no results kept, 8 threads or 2 processes.

A batch is a group, its way to send many at once.
"""

from collections.abc import Sequence

from celery import Celery, group

from benchmarks.apps.jobs_peer import TOLD, play, serve_enqueuer, started

WAYS = {"threads": ["--pool=threads", "--concurrency=8"], "prefork": ["--pool=prefork", "--concurrency=2"]}

app = Celery("bench", broker=TOLD.url)
app.conf.update(task_acks_late=True, task_ignore_result=True, broker_connection_retry_on_startup=True)


@app.task(name="noop")
def noop(run: str, job: int) -> None:
    started(run, job)


def one(job: int) -> None:
    noop.delay(TOLD.run, job)


def batch(jobs: Sequence[int]) -> None:
    group(noop.s(TOLD.run, job) for job in jobs).apply_async()


def work() -> None:
    app.worker_main(["worker", "--loglevel=ERROR", *WAYS[TOLD.setting]])


if __name__ == "__main__":
    play(lambda: None, work, lambda: serve_enqueuer(one, batch))
