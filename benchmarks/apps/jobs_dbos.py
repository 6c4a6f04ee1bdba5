"""DBOS: a workflow on a queue, polled every 50 ms instead of 1 s, so that the poll is not what is measured.

A batch is one transaction of the caller's, its way to enqueue many together.
"""

import threading
from collections.abc import Sequence

import sqlalchemy
from dbos import DBOS, DBOSClient, EnqueueOptions

from benchmarks.apps.jobs_peer import TOLD, play, serve_enqueuer, started

QUEUE = "bench"
POLL_S = 0.05
CONCURRENCY = 100


@DBOS.workflow(name="noop")
def noop(run: str, job: int) -> None:
    started(run, job)


def launch() -> None:
    config = {
        "name": "bench",
        "system_database_url": TOLD.url,
        "application_version": "1",
        "executor_id": "bench",
    }
    DBOS(config={**config, "log_level": "ERROR", "run_admin_server": False})
    DBOS.launch()
    DBOS.register_queue(QUEUE, worker_concurrency=CONCURRENCY, polling_interval_sec=POLL_S)


def prepare() -> None:
    launch()
    DBOS.destroy()


def work() -> None:
    launch()
    threading.Event().wait()


async def enqueue() -> None:
    client = DBOSClient(system_database_url=TOLD.url)
    options: EnqueueOptions = {"workflow_name": "noop", "queue_name": QUEUE, "app_version": "1"}
    engine = sqlalchemy.create_engine(TOLD.url.replace("postgresql://", "postgresql+psycopg://"))

    def one(job: int) -> None:
        client.enqueue(options, TOLD.run, job)

    def batch(jobs: Sequence[int]) -> None:
        with engine.begin() as connection:
            for job in jobs:
                client.enqueue_in_transaction(connection, options, TOLD.run, job)

    await serve_enqueuer(one, batch)


if __name__ == "__main__":
    play(prepare, work, enqueue)
