"""Who is alive on one machine: a lock file for each, held by flock, which the kernel frees at death.

Whoever finds a file's lock free removes the file, and holds its lock while doing so. So a lock counts
only while the path still leads to the file that was locked; whoever locked a removed one tries again.
"""

import asyncio
import fcntl
import os
import weakref
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from holdfast.kernel.errors import Conflict
from holdfast.stores.presence_names import file_name

_TRIES = 20
_PAUSE_S = 0.01
"""Someone who looks whether we live holds the lock for some microseconds; a holder keeps it for longer."""

_open: "weakref.WeakSet[SqlitePresence]" = weakref.WeakSet()


class SqlitePresence:
    """The Presence port by lock files in `folder`, which is made when it is needed. Local disks only."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: dict[str, int] = {}
        _open.add(self)

    async def hold(self, name: str) -> None:
        for turn in range(_TRIES):
            if turn:
                await asyncio.sleep(_PAUSE_S)
            if self._take(name):
                return
        raise Conflict(f"{name} is held by another", hint="each worker takes a name of its own")

    async def free(self, names: Sequence[str]) -> list[str]:
        """As the port says; a name without a file is free. What was removed under us is taken again."""
        for name in self.lost():
            self._take(name)
        return await asyncio.to_thread(lambda: [name for name in names if self._is_free(name)])

    def lost(self) -> list[str]:
        """Names whose file somebody removed: others take us for dead until the next `free`."""
        return [name for name, fd in self._held.items() if not _leads_to(self._path(name), fd)]

    async def close(self) -> None:
        for name, fd in self._held.items():
            _remove(self._path(name), fd)
            os.close(fd)
        self._held.clear()

    def _take(self, name: str) -> bool:
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._path(name)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if not _lock(fd) or not _leads_to(path, fd):
            os.close(fd)
            return False
        if (gone := self._held.pop(name, None)) is not None:
            os.close(gone)
        self._held[name] = fd
        return True

    def _is_free(self, name: str) -> bool:
        path = self._path(name)
        try:
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return True
        except OSError:
            return False  # no rights, no descriptors left: it cannot be told
        try:
            if not _lock(fd):
                return False
            _remove(path, fd)
            return True
        finally:
            os.close(fd)

    def _path(self, name: str) -> Path:
        return self._folder / file_name(name)

    def forget(self) -> None:
        """In a fork: let go of copies of the parent's locks, which would outlive it otherwise."""
        for fd in self._held.values():
            with suppress(OSError):
                os.close(fd)
        self._held.clear()


def _lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _leads_to(path: Path, fd: int) -> bool:
    with suppress(OSError):
        return os.path.samestat(path.stat(), os.fstat(fd))
    return False


def _remove(path: Path, fd: int) -> None:
    """Only while its lock is held, and only the file that is locked: another may have its name by now."""
    if _leads_to(path, fd):
        with suppress(OSError):
            path.unlink()


def _forget_in_fork() -> None:
    for presence in list(_open):
        presence.forget()


os.register_at_fork(after_in_child=_forget_in_fork)
