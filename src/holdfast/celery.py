"""`celery -A holdfast.celery worker`: Celery's workers on the jobs of an app, or of the built-in API.

HOLDFAST_APP names the app whose jobs these are (`module:app`, as for `holdfast serve`); settings come from
where they always come from. Nothing is composed until Celery asks for `app`.
"""

import os
import sys
from collections.abc import Sequence
from functools import cache
from typing import Any

from holdfast.app import Holdfast
from holdfast.kernel.errors import Misconfigured, Problem
from holdfast.serve import load_app, wrap
from holdfast.work import AppLife

APP_ENV = "HOLDFAST_APP"
THREADS = 16
"""Jobs at once in a pool of threads unless something else is said: they mostly wait for models and stores."""


def __getattr__(name: str) -> Any:
    if name != "app":
        raise AttributeError(name)
    return make_app(os.environ.get(APP_ENV, ""))


@cache
def make_app(target: str = "") -> Any:
    """The one Celery app of this process for the jobs of `target`; raises Misconfigured without a broker."""
    found = wrap(load_app(target)) if target else Holdfast()
    hold: Holdfast = found if isinstance(found, Holdfast) else found.holdfast
    room: Any = hold.ground.rooms.get("jobs")
    if room is None:
        raise Misconfigured(f"the room jobs is not on: {hold.ground.skipped.get('jobs', 'it is not here')}")
    if room.celery is None:
        raise Misconfigured(
            "Celery's workers need a broker", hint="set [jobs] broker_url to redis://.. or amqp://.."
        )
    life = [AppLife(found)]

    async def start() -> None:
        """In each process of a pool, and again after a start that failed."""
        life[0] = AppLife(found)
        try:
            await life[0].start()
        except BaseException:
            if isinstance(hold.failure, Problem):
                raise hold.failure from None
            raise

    async def stop() -> None:
        await life[0].stop()

    return room.celery.work(start, stop)


def command(
    queues: Sequence[str] = (), *, concurrency: int = 0, pool: str = "prefork", name: str = ""
) -> list[str]:
    """The command line of one of Celery's workers, events on, so that Flower sees it.

    No concurrency means THREADS in a pool of threads; elsewhere Celery decides, by the number of processors.
    """
    line = [sys.executable, "-m", "celery", "-A", "holdfast.celery", "worker", "-E", "-P", pool]
    line += ["-l", "warning", "-n", f"{name or 'holdfast-' + str(os.getpid())}@%h", "--without-mingle"]
    if queues:
        line += ["-Q", ",".join(queues)]
    if slots := concurrency or (THREADS if pool == "threads" else 0):
        line += ["-c", str(slots)]
    return line


def work(target: str, line: Sequence[str]) -> None:
    """Become that worker, in this process; does not return."""
    if target:
        os.environ[APP_ENV] = target
    os.execv(line[0], list(line))  # noqa: S606 - our own command line, and no shell wanted
