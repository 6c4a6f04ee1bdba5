"""What the kernel holds a child to: its document, its answer, and nothing else."""

import math
import os
import signal
import sys

from holdfast.rooms.knowledge.rules.parsed import Limits

if sys.platform != "win32":
    import resource

_RESERVE = 64 << 20
"""Address space kept back, so that running out of memory can still be said."""
_FILES = 32


def close_all_but(fd: int) -> None:
    """Leave the process one file to write to; its input, output and errors lead nowhere."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nothing, standard)
    os.closerange(3, fd)
    os.closerange(fd + 1, 256)


def limit(limits: Limits) -> None:
    """Hold this process to its seconds and bytes; it can start nothing and write no file."""
    os.nice(5)  # who waits for an answer goes before who waits for a document
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, limits.wall_s)
    cpu_s = max(1, math.ceil(limits.cpu_s))
    _set(resource.RLIMIT_CPU, cpu_s, cpu_s + 1)
    _set(resource.RLIMIT_CORE, 0, 0)
    _set(resource.RLIMIT_FSIZE, 0, 0)
    _set(resource.RLIMIT_NOFILE, _FILES, _FILES)
    if sys.platform == "linux":
        _set(resource.RLIMIT_NPROC, 0, 0)
        _set(resource.RLIMIT_AS, limits.memory_bytes, limits.memory_bytes + _RESERVE)


def release_reserve() -> None:
    """Take the memory that was kept back; after a MemoryError, to say so."""
    if sys.platform == "linux":
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))


def _set(what: int, soft: int, hard: int) -> None:
    """Set a limit, but never above what the process was given."""
    given = resource.getrlimit(what)[1]
    if given != resource.RLIM_INFINITY:
        soft, hard = min(soft, given), min(hard, given)
    resource.setrlimit(what, (soft, hard))
