"""Ports for servers that a test kills and starts again where they were."""

import fcntl
import os
import random
import socket
import tempfile
from pathlib import Path

_RANGE = range(20_000, 32_000)
"""Below those that the kernel gives to outgoing connections. One of them may get the port of a server that
is down, even one that looks for that server: it then speaks with itself, and the server cannot come back."""

_held: dict[int, int] = {}
"""The locks of the ports that are given, by port: as long as this process lives they are nobody else's."""


def free_port() -> int:
    """A port of 127.0.0.1 that is free, and that no other process of any test run is given meanwhile."""
    folder = Path(tempfile.gettempdir()) / f"holdfast-ports-{os.geteuid()}"
    folder.mkdir(exist_ok=True)
    # Not the usual generator: tests seed it, and all processes would begin at the same port.
    first = random.SystemRandom().randrange(len(_RANGE))
    for port in (*_RANGE[first:], *_RANGE[:first]):
        if port not in _held and _is_claimed(folder / str(port), port):
            return port
    raise RuntimeError(f"no port of {_RANGE.start} to {_RANGE.stop} is free")


def _is_claimed(path: Path, port: int) -> bool:
    lock = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
    except OSError:
        os.close(lock)
        return False
    _held[port] = lock
    return True
