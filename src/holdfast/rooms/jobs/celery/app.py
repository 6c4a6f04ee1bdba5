"""The Celery application, the same for those who publish and those who work."""

from collections.abc import Iterable

from celery import Celery
from kombu.entity import Exchange, Queue

from holdfast.rooms.jobs.celery.connection import Amqp

TASK = "holdfast.run"


def queue_of(name: str) -> Queue:
    """A queue of the broker, named like the jobs' queue, reached through the default exchange.

    An exchange of its own would need bindings, and a Redis that was emptied has lost them: kombu then drops
    what is published, without a word.
    """
    return Queue(name, Exchange(""), routing_key=name, durable=True)


def make_app(broker: str, queues: Iterable[str]) -> Celery:
    """A Celery application that carries ids of jobs and keeps nothing of them."""
    app = Celery("holdfast", broker=broker, amqp=Amqp, set_as_current=False)
    names = sorted(queues)
    app.conf.update(
        task_queues=[queue_of(name) for name in names],
        task_default_queue=names[0],
        task_default_exchange="",
        task_default_exchange_type="direct",
        task_default_routing_key=names[0],
        task_create_missing_queues=False,
        task_serializer="json",
        accept_content=["json"],
        result_backend=None,
        task_ignore_result=True,
        task_acks_late=False,
        # What Flower sees: names, states and times.
        task_send_sent_event=True,
        worker_send_task_events=True,
        # A message that waits with a busy worker is a job that an idle one could have.
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=broker.startswith("redis"),
        worker_hijack_root_logger=False,
        # The broker may be away for as long as it likes; what it has lost is told again.
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_connection_timeout=4.0,
        broker_transport_options=_options(broker),
        worker_cancel_long_running_tasks_on_connection_loss=False,
        # What runs is acknowledged already and holds no place. And Celery would give places back from the
        # threads of its pool, reading RabbitMQ's answer from the connection that its loop reads: both hang.
        worker_enable_prefetch_count_reduction=False,
        worker_proc_alive_timeout=30.0,
    )
    return app


def _options(broker: str) -> dict[str, object]:
    if not broker.startswith("redis"):
        return {}
    return {"socket_connect_timeout": 4.0, "socket_keepalive": True, "health_check_interval": 10}
