"""Celery alone in the kill test: `default`, or `tuned` for jobs that survive their worker.

Tuned is what its documentation and its issues advise: acknowledged late, given back when the worker is
lost, a visibility timeout of 5 s, and the sweep that heeds it every second instead of every hundred.
"""

import uuid

from celery import Celery

from benchmarks.apps.chaos_load import TOLD, act, enqueue_endlessly, play, tell_left

TUNED = {
    "task_acks_late": True,
    "task_reject_on_worker_lost": True,
    "broker_transport_options": {
        "visibility_timeout": 5,
        "unacked_restore_interval": 1,
        "unacked_restore_throttle": 1,
    },
}

app = Celery("chaos", broker=TOLD.url)
app.conf.update(task_ignore_result=True, broker_connection_retry_on_startup=True)
app.conf.update(broker_connection_max_retries=None, **(TUNED if TOLD.setting == "tuned" else {}))


@app.task(name="act")
def job(run: str, number: int) -> None:
    act(run, number, uuid.uuid4().hex[:8])


def work() -> None:
    name = f"--hostname={uuid.uuid4().hex[:8]}@%h"
    app.worker_main(["worker", "--loglevel=ERROR", "--pool=threads", "--concurrency=8", name])


def left() -> None:
    """Messages that wait and messages that some worker was given and has not acknowledged."""
    from redis import Redis

    redis = Redis.from_url(TOLD.url)
    tell_left(int(redis.llen("celery")) + int(redis.hlen("unacked")))


async def load() -> None:
    await enqueue_endlessly(lambda number: job.delay(TOLD.run, number))


if __name__ == "__main__":
    play(prepare=lambda: None, work=work, app=load, left=left)
