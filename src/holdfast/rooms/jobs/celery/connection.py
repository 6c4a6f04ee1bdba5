"""Kombu's connections, with Redis channels that close at the first call even when their poll fails.

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
    """What Celery makes its connections, producers and consumers of."""

    Connection = Connection
