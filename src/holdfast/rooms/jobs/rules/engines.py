"""Who claims jobs here: decided anew whenever something changes, so that a switch moves nothing."""

import msgspec

from holdfast.kernel.errors import BadInput

EMBEDDED = "embedded"
CELERY = "celery"
BACKGROUND = "background"
ENGINES = (EMBEDDED, CELERY, BACKGROUND)

_YES = frozenset({"1", "true", "yes", "on"})
_NO = frozenset({"0", "false", "no", "off"})


class Seen(msgspec.Struct, frozen=True):
    """What this process knows when it decides."""

    engine: str
    """As configured, or as an admin has switched it since."""
    is_worker: bool
    """`holdfast worker` or a Celery worker, rather than the server's process."""
    serves_jobs: bool = True
    """Whether the server's process works jobs off beside its requests (`[jobs] workers`)."""
    alive: int = 0
    """Workers in processes of their own that are alive for the queue; this process not counted."""
    alone_s: float = 0.0
    """Seconds since the last of them was seen; since the start, when none was."""


class Role(msgspec.Struct, frozen=True):
    """What this process does for a queue."""

    claims: bool
    """Whether it looks for work and takes it."""
    publishes: bool
    """Whether enqueued jobs are told to the broker."""
    why: str

    @property
    def is_fallback(self) -> bool:
        return self.why == NOBODY


NOBODY = "no worker is alive, so the server works jobs off itself"


def role(seen: Seen, patience_s: float = 15.0) -> Role:
    """What to do, engine by engine.

    `embedded`: whoever may claim claims. `celery`: workers are given ids by the broker, and take nothing
    else; a server whose jobs nobody has taken for `patience_s` takes them itself, the broker is told all the
    same. `background`: only the server's own processes work.
    """
    publishes = seen.engine == CELERY
    if seen.is_worker:
        if seen.engine == BACKGROUND:
            return Role(False, False, "switched to background: the server works jobs off")
        if seen.engine == CELERY:
            return Role(False, publishes, "the broker says which jobs to take")
        return Role(True, False, "a worker of the embedded engine")
    if seen.engine == BACKGROUND:
        return Role(True, False, "switched to background: the server works jobs off")
    if seen.engine == EMBEDDED and seen.serves_jobs:
        return Role(True, False, "workers in the server's process")
    if seen.alive == 0 and seen.alone_s >= patience_s:
        return Role(True, publishes, NOBODY)
    return Role(False, publishes, "workers in processes of their own")


def switched(configured: str, decided: str | None, durable: str | None) -> str:
    """The engine in force: what an admin decided, else what USE_DURABLE_WORKER says, else the setting.

    `durable` is that variable's value: false means `background`; None or empty says nothing.
    """
    if decided in ENGINES:
        return str(decided)
    if durable is None or not durable.strip():
        return configured
    word = durable.strip().lower()
    if word in _NO:
        return BACKGROUND
    if word in _YES:
        return EMBEDDED if configured == BACKGROUND else configured
    raise BadInput(f"USE_DURABLE_WORKER is {durable[:20]!r}", hint="set it to true or false")


def check_engine(name: str) -> str:
    """`name` when it is an engine."""
    if name not in ENGINES:
        raise BadInput(f"there is no engine {name[:40]!r}", hint="one of " + ", ".join(ENGINES))
    return name
