"""What Celery talks to its broker with: Redis channels that close wholly, messages named by what they carry.

A worker that loses Redis closes its channels twice: first with what they need, then without. A channel that
was waiting for a message fails that wait first and stays half open; the second call would give its messages
back over a connection that is no more, and what it raises ends the worker (celery/celery#4652 and its kin).
"""

from contextlib import suppress
from typing import Any

from celery.app.amqp import AMQP
from kombu import Connection as KombuConnection
from kombu.transport import redis


class RedisChannel(redis.Channel):  # type: ignore[misc] # kombu has no types
    """A channel that a failed poll does not leave half open."""

    def close(self) -> None:
        with suppress(*self.connection_errors):
            super().close()
        if not self.closed:  # the poll has failed, and nothing else was done
            with suppress(*self.connection_errors):
                super().close()


class RedisTransport(redis.Transport):  # type: ignore[misc] # kombu has no types
    """Kombu's transport, with channels that close wholly."""

    Channel = RedisChannel


class Connection(KombuConnection):  # type: ignore[misc] # kombu has no types
    """A connection whose URL still says `redis`, for Flower reads what kind of broker it is."""

    def get_transport_cls(self) -> Any:
        found = super().get_transport_cls()
        return RedisTransport if found is redis.Transport else found


class Amqp(AMQP):  # type: ignore[misc] # Celery has no types
    """What Celery makes its connections, producers, consumers and messages of."""

    Connection = Connection

    def as_task_v2(self, *args: Any, **more: Any) -> Any:
        """A message whose event `task-sent` names the job, as its other events do.

        Celery names the task there, whatever stands before it; where a worker is faster than this event, what
        comes last is what Flower shows.
        """
        message = super().as_task_v2(*args, **more)
        if message.sent_event and (shadow := message.headers["shadow"]):
            message.sent_event["name"] = shadow
        return message
