"""What Celery's workers are given: the task that takes a job's id, and a worker behind it in each process."""

import logging
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from celery import Celery, signals
from celery.exceptions import Ignore, Retry

from holdfast.kernel.errors import Problem
from holdfast.rooms.jobs.celery.app import TASK
from holdfast.rooms.jobs.celery.pool import OpenTaker, PoolProcess
from holdfast.rooms.jobs.celery.taking import DROPPED, Took
from holdfast.rooms.jobs.rules import states

logger = logging.getLogger("holdfast.jobs")

POOLS = ("prefork", "threads", "solo")
"""A job may be a coroutine: pools that patch the standard library (gevent, eventlet) cannot run it."""
LEAVE_S = 10.0
"""Beyond the grace, to write down what ended and close everything."""


class JobDidNotSucceed(Exception):
    """How a job that failed or was cancelled looks to Celery; the ledger says more."""


class Working:
    """The task `holdfast.run` of one Celery app, and the life of what stands behind it."""

    def __init__(self, app: Celery, open_taker: OpenTaker, grace_s: float) -> None:
        self._process = PoolProcess(open_taker, self._give_up)
        self._grace_s = grace_s
        self._main_pid = os.getpid()
        self._pipe: tuple[int, int] | None = None
        self._keep: list[Callable[..., Any]] = []
        app.task(name=TASK, bind=False, ignore_result=True, throws=(JobDidNotSucceed,))(self.run)
        self._connect(signals.worker_init, self._on_main)
        self._connect(signals.worker_process_init, self._on_process)
        self._connect(signals.worker_ready, self._on_ready)
        self._connect(signals.worker_shutting_down, self._on_shutting_down)
        self._connect(signals.worker_process_shutdown, self._on_leaving)
        self._connect(signals.worker_shutdown, self._on_leaving)

    def run(self, job_id: str) -> str:
        """One message: the state its job went into. What others see of it mirrors the ledger."""
        try:
            took = self._process.take(job_id)
        except Problem:
            raise Ignore from None  # it is told of again
        return mirrored(took)

    def _connect(self, of: Any, call: Callable[..., None]) -> None:
        self._keep.append(call)  # signals hold what they call weakly
        of.connect(call)

    def _on_main(self, **_: Any) -> None:
        self._main_pid = os.getpid()
        self._pipe = os.pipe()

    def _on_process(self, **_: Any) -> None:
        """In a process of a prefork pool, after the fork; also in the one process of a solo pool."""
        heard = -1
        if os.getpid() != self._main_pid and self._pipe is not None:
            heard, ours = self._pipe
            with suppress(OSError):
                os.close(ours)  # or it would keep the pipe open when the parent is gone
        self._process.start(heard)

    def _on_ready(self, sender: Any = None, **_: Any) -> None:
        pool = type(getattr(sender, "pool", None)).__module__.rpartition(".")[2]
        if pool in ("threads", "thread", "solo"):
            self._process.start()
        elif pool not in POOLS:
            logger.error("jobs cannot run in a pool of %s; use one of %s", pool, ", ".join(POOLS))
            os.kill(os.getpid(), signal.SIGTERM)

    def _on_shutting_down(self, how: str = "", **_: Any) -> None:
        """Only where the worker was started: its processes hear it from the pipe, at its end."""
        if os.getpid() != self._main_pid:
            return
        if self._pipe is not None:
            with suppress(OSError):
                os.close(self._pipe[1])
        self._process.drain()

    def _on_leaving(self, **_: Any) -> None:
        self._process.stop(self._grace_s + LEAVE_S)

    def _give_up(self, error: BaseException) -> None:
        """Nothing can run here: end the whole worker instead of taking messages in vain."""
        logger.critical("the worker cannot run: %s", error.line() if isinstance(error, Problem) else error)
        os.kill(self._main_pid, signal.SIGTERM)


def mirrored(took: Took) -> str:
    """SUCCESS, FAILURE or RETRY for Celery's eyes; Celery itself retries nothing."""
    if took.state == states.SUCCEEDED:
        return took.state
    if took.state == DROPPED:
        raise Ignore
    said = ": ".join(part for part in (took.error_kind, took.error) if part)
    if took.is_over:
        raise JobDidNotSucceed(f"{took.state} ({said})" if said else took.state)
    raise Retry(f"{took.state} ({said})" if said else took.state)
