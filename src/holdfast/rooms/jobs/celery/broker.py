"""The broker, as those who publish use it: in a thread of its own, because kombu waits."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

import msgspec
from celery import Celery
from kombu.exceptions import OperationalError

from holdfast.kernel.errors import Unavailable, unavailable
from holdfast.rooms.jobs.celery.app import TASK, queue_of
from holdfast.rooms.jobs.rules.publishing import Told

logger = logging.getLogger("holdfast.jobs")

T = TypeVar("T")

PATIENCE_S = 10.0
"""Longest wait for one answer of the broker."""
_REDIS = {"socket_timeout": PATIENCE_S, "socket_connect_timeout": 4.0, "max_connections": 2}
# A publish that RabbitMQ has not confirmed may be lost with its connection.
_AMQP = {"confirm_publish": True, "read_timeout": PATIENCE_S, "write_timeout": PATIENCE_S}


class Sent(msgspec.Struct, frozen=True):
    """What the broker has taken, and why not all."""

    told: list[Told]
    failure: Unavailable | None = None


class Broker:
    """One connection to the broker, opened when it is needed and again after a failure."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._redis = str(app.conf.broker_url).startswith("redis")
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="holdfast-broker")
        self._connection: Any = None
        self._producer: Any = None

    async def publish(self, jobs: Sequence[Told]) -> Sent:
        """Tell of these, in order, as far as it goes; never raises for a broker that is away."""
        return await self._in_thread(partial(self._publish, list(jobs)))

    async def depths(self, queues: Sequence[str]) -> dict[str, int]:
        """Messages that wait in each queue; raises Unavailable."""
        return await self._in_thread(partial(self._depths, list(queues)))

    async def close(self) -> None:
        await self._in_thread(self._drop)
        self._thread.shutdown(wait=False)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _publish(self, jobs: list[Told]) -> Sent:
        sent: list[Told] = []
        try:
            for job in jobs:
                self._send(job)
                sent.append(job)
        except Exception as error:  # noqa: BLE001 - whatever a transport raises means: not told
            self._drop()
            return Sent(sent, _away(error))
        return Sent(sent)

    def _send(self, job: Told) -> None:
        self._connect()
        self._app.send_task(
            TASK,
            args=(job.id,),
            task_id=job.id,
            queue=queue_of(job.queue),
            producer=self._producer,
            shadow=job.name,
            ignore_result=True,
            retry=False,
            add_to_parent=False,
        )

    def _depths(self, queues: list[str]) -> dict[str, int]:
        try:
            return {name: self._depth(name) for name in queues}
        except Exception as error:
            self._drop()
            raise _away(error) from error

    def _depth(self, name: str) -> int:
        self._connect()
        channel = self._producer.channel
        try:
            return int(channel.queue_declare(name, passive=True).message_count)
        except self._connection.channel_errors as error:
            if "404" not in str(error) and "NOT_FOUND" not in str(error):
                raise
        # Nobody has made it yet, or the broker lost it, and with it what it held. Declared anew, for RabbitMQ
        # drops in silence what it has no queue for; the failed look has cost us the channel.
        self._drop()
        self._connect()
        queue_of(name).bind(self._producer.channel).declare()
        return 0

    def _connect(self) -> None:
        if self._connection is not None and self._connection.connected:
            return
        self._drop()
        options = _REDIS if self._redis else _AMQP
        connection = self._app.connection_for_write(transport_options=dict(options))
        try:
            connection.ensure_connection(max_retries=1, interval_start=0, reraise_as_library_errors=True)
            self._producer = self._app.amqp.Producer(connection.default_channel, auto_declare=False)
        except BaseException:
            with suppress(Exception):
                connection.release()
            raise
        self._connection = connection

    def _drop(self) -> None:
        connection, self._connection, self._producer = self._connection, None, None
        if connection is not None:
            with suppress(Exception):  # it is broken, or soon will be
                connection.release()


def _away(error: BaseException) -> Unavailable:
    said = str(error.__cause__ or error) if isinstance(error, OperationalError) else str(error)
    return unavailable(
        f"the broker cannot be reached: {said[:200]}", 2.0, "see whether it runs; jobs are kept meanwhile"
    )
