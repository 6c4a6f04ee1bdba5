"""Doorbells on one machine: whoever listens has a datagram socket in a folder, whoever rings writes to each.

A ring takes some ten microseconds where a look every few milliseconds would be late by half of them. One that
is not taken (a full socket, no rights, a dead process) is lost.
"""

import asyncio
import os
import socket
import uuid
import weakref
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

_LONGEST_PATH = 100
"""Bytes; the address of a Unix socket ends at 104 on macOS, at 108 on Linux."""
_LARGEST = 4096
"""Bytes of topics in one ring; more of them are told as "", which is any."""
_AT_ONCE = 64
"""Rings taken in one turn of the loop."""

_open: "weakref.WeakSet[Doorbell]" = weakref.WeakSet()


class Doorbell:
    """The sockets of one folder, and this process's own among them once it is `open`."""

    def __init__(self, folder: Path, heard: Callable[[Iterable[str]], None]) -> None:
        self._folder = folder
        self._heard = heard
        self._own: socket.socket | None = None
        self._name = ""
        self._loop: asyncio.AbstractEventLoop | None = None
        _open.add(self)

    def open(self) -> None:
        """Begin to hear, in this loop; raises OSError where no socket can be made."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        own = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        own.setblocking(False)
        name = uuid.uuid4().hex  # never used again, so one that refuses may be removed
        try:
            with _Place(self._folder) as place:
                own.bind(place.of(name))
        except BaseException:
            own.close()
            raise
        self._own, self._name, self._loop = own, name, asyncio.get_running_loop()
        self._loop.add_reader(own.fileno(), self._hear)

    def ring(self, topics: Sequence[str]) -> None:
        """Tell every other process that listens; never blocks, never raises."""
        said = "\n".join(topics).encode(errors="replace")
        if len(said) > _LARGEST:
            said = b""
        with (
            suppress(OSError),
            _Place(self._folder) as place,
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out,
        ):
            out.setblocking(False)
            for door in self._folder.iterdir():
                if door.name != self._name:
                    self._tell(out, place.of(door.name), door, said)

    def close(self) -> None:
        """Stop hearing; idempotent."""
        own, self._own = self._own, None
        if own is None or self._loop is None:
            return
        if not self._loop.is_closed():
            self._loop.remove_reader(own.fileno())
        own.close()
        with suppress(OSError):
            (self._folder / self._name).unlink()

    def forget(self) -> None:
        """In a fork: let go of the copy of the parent's socket, which nobody would read after its death."""
        if self._own is not None:
            with suppress(OSError):
                self._own.close()
        self._own, self._name = None, ""

    def _tell(self, out: socket.socket, address: str, door: Path, said: bytes) -> None:
        try:
            out.sendto(said, address)
        except ConnectionRefusedError:  # its process is dead
            with suppress(OSError):
                door.unlink()
        except OSError:
            pass  # full, or not ours to write to: that process looks by itself, too

    def _hear(self) -> None:
        topics: dict[str, None] = {}
        with suppress(OSError):
            for _ in range(_AT_ONCE):
                assert self._own is not None
                said = self._own.recv(_LARGEST)
                topics.update(dict.fromkeys(said.decode(errors="replace").split("\n")))
        self._heard(topics)


class _Place:
    """Addresses in a folder whose path may be longer than the address of a socket."""

    def __init__(self, folder: Path) -> None:
        self._folder = os.fspath(folder)
        self._fd = -1

    def __enter__(self) -> "_Place":
        if len(os.fsencode(self._folder)) + 33 > _LONGEST_PATH:
            self._fd = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        return self

    def __exit__(self, *_: object) -> None:
        if self._fd >= 0:
            os.close(self._fd)

    def of(self, name: str) -> str:
        """Through /proc where the path is too long: elsewhere than on Linux that is an OSError."""
        return f"{self._folder}/{name}" if self._fd < 0 else f"/proc/self/fd/{self._fd}/{name}"


def _forget_in_fork() -> None:
    for doorbell in list(_open):
        doorbell.forget()


os.register_at_fork(after_in_child=_forget_in_fork)
