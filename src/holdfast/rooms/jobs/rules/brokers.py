"""Which broker carries the ids of jobs."""

from urllib.parse import urlsplit

from holdfast.kernel.errors import Misconfigured

_BROKERS = {"redis": "redis", "rediss": "rediss", "valkey": "redis", "valkeys": "rediss"}
_AMQP = ("amqp", "amqps", "pyamqp")


def broker_of(broker_url: str, store_url: str | None = None) -> str:
    """The broker's URL as kombu takes it: the one that was set, else the Redis among the stores.

    Raises Misconfigured where there is none, or one that no Celery transport of ours speaks to.
    """
    given = broker_url.strip() or _redis_among(store_url or "")
    if not given:
        raise Misconfigured(
            "the engine celery needs a broker", hint="set [jobs] broker_url to redis://.. or amqp://.."
        )
    scheme, _, rest = given.partition("://")
    if scheme in _AMQP:
        return given
    if scheme in _BROKERS:
        return f"{_BROKERS[scheme]}://{rest}"
    raise Misconfigured(
        f"Celery is not run over {scheme[:20]!r} here",
        hint="use one Redis or Valkey server (redis://, valkey://), or RabbitMQ (amqp://)",
    )


def _redis_among(urls: str) -> str:
    parts = (part.strip() for part in urls.split(","))
    return next((part for part in parts if urlsplit(part).scheme in _BROKERS), "")
