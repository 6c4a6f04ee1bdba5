"""Jobs in processes of their own: for work that holds the processor, may crash, or is not trusted.

The process gets its payload and gives back its end over a socket, as JSON; what it prints goes to the log,
bounded. Cancelling the task that waits for it kills its whole process group, at once.
"""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from holdfast.kernel.codec import plain
from holdfast.ports.jobs import JobFunction
from holdfast.rooms.jobs.engine import frames
from holdfast.rooms.jobs.engine.calling import Address, Plain, address_of, function_of
from holdfast.rooms.jobs.rules import kinds
from holdfast.rooms.jobs.rules.failures import Failure

logger = logging.getLogger("holdfast.jobs.output")

KEPT_BYTES = 16 << 10
"""Of what a job prints, the last of it goes to the log."""
_MODULE = "holdfast.rooms.jobs.engine.child"
_GIVEN = frozenset({"PATH", "LANG", "HOME", "TMPDIR", "TZ", "VIRTUAL_ENV"})
_GIVEN_BY_START = ("LC_", "PYTHON")


class Steps(Protocol):
    """What an isolated job asks of the attempt it is."""

    id: str
    attempt: int
    tenant: str
    user: str
    previous: Any

    def progress(self, share: float, message: str = "") -> None: ...

    def kept(self, name: str) -> tuple[bool, Any]:
        """Whether an earlier attempt finished the step, and what it gave, as JSON has it."""
        ...

    async def keep(self, name: str, value: Any) -> None: ...

    async def compensate(self, name: str, payload: Any) -> None: ...


class ChildFailed(Exception):
    """The process told how its function failed, or died."""

    def __init__(self, failure: Failure, *, traceback: str = "", cancelled: bool = False) -> None:
        super().__init__(failure.error)
        self.failure = failure
        self.traceback = traceback
        self.cancelled = cancelled
        """Whether it left by JobCancelled."""


class Isolated:
    """How one kind of job runs in a process; made when it is declared, to say then what cannot be found."""

    def __init__(self, run: JobFunction, payload: Any, memory_bytes: int, given: Sequence[str] = ()) -> None:
        self._given = frozenset(given)
        """Variables of the environment that its process gets beside the few that any program needs."""
        self._plain = isinstance(run, Plain)
        self._function = address_of(function_of(run))
        self._kind = None if self._plain else _address_of_kind(payload)
        self._memory_bytes = memory_bytes

    async def run(self, payload: Any, steps: Steps, folder: Path) -> Any:
        """What the function gave, as JSON; raises ChildFailed. Cancelled, it leaves no process behind."""
        ours, theirs = socket.socketpair()
        reader = writer = process = None
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                _MODULE,
                str(theirs.fileno()),
                str(os.getpid()),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
                env=_environment(os.environ, self._given),
            )
            theirs.close()
            reader, writer = await asyncio.open_connection(sock=ours)
            return await self._follow(process, reader, writer, payload, steps, folder)
        finally:
            theirs.close()
            if writer is not None:
                writer.close()
            else:
                ours.close()
            if process is not None:
                await _put_down(process)

    async def _follow(
        self,
        process: asyncio.subprocess.Process,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        payload: Any,
        steps: Steps,
        folder: Path,
    ) -> Any:
        printed = asyncio.create_task(_drain(process.stdout))
        try:
            with contextlib.suppress(ConnectionError):  # it died before it read; its exit code says how
                writer.write(frames.pack(self._begin(payload, steps, folder)))
                await writer.drain()
            end = await _converse(reader, writer, steps)
            if end is None:
                raise ChildFailed(_death(await process.wait(), self._memory_bytes))
            if end["type"] == "result":
                return end.get("value")
            raise _told(end)
        finally:
            _kill_group(process)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):  # a grandchild that left the group may hold the pipe
                    await printed
            if not printed.done():
                printed.cancel()
            elif not printed.cancelled() and (text := printed.result()):
                logger.info("job %s attempt %d printed: %s", steps.id, steps.attempt, text)

    def _begin(self, payload: Any, steps: Steps, folder: Path) -> dict[str, Any]:
        return {
            "function": msgspec.structs.asdict(self._function),
            "plain": self._plain,
            "payload": payload,
            "kind": None if self._kind is None else msgspec.structs.asdict(self._kind),
            "id": steps.id,
            "attempt": steps.attempt,
            "tenant": steps.tenant,
            "user": steps.user,
            "previous": steps.previous,
            "folder": str(folder),
            "path": sys.path,
            "memory_bytes": self._memory_bytes,
        }


def _environment(ours: Mapping[str, str], given: frozenset[str]) -> dict[str, str]:
    """What the process may know of our environment: no address of a database, no key of a provider."""
    named = _GIVEN | given
    few = {name: value for name, value in ours.items() if name in named or name.startswith(_GIVEN_BY_START)}
    return {**few, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}


def _address_of_kind(kind: Any) -> Address | None:
    """A class of somebody's own; what JSON has anyway (dict, list, str ...) needs no type."""
    return address_of(kind) if isinstance(kind, type) and kind.__module__ != "builtins" else None


async def _converse(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, steps: Steps
) -> dict[str, Any] | None:
    """Answer what the job asks until it has ended; its end, or None when it died without one."""
    while True:
        try:
            message = await frames.next_of(reader)
        except frames.Broken:
            return None
        kind = message.get("type")
        if kind in ("result", "failure"):
            return message
        if kind == "progress":
            steps.progress(float(message.get("share", 0.0)), str(message.get("message", "")))
        elif kind in ("kept", "keep", "compensate"):
            writer.write(frames.pack(await _answer(kind, message, steps)))


async def _answer(kind: str, message: dict[str, Any], steps: Steps) -> dict[str, Any]:
    name, answer = str(message.get("name", "")), {"number": message.get("number", 0)}
    try:
        if kind == "kept":
            found, value = steps.kept(name)
            return {**answer, "found": found, "value": value}
        done: Awaitable[None] = (
            steps.keep(name, message.get("value"))
            if kind == "keep"
            else steps.compensate(name, message.get("payload"))
        )
        await done
    except Exception as error:  # noqa: BLE001 - the job hears it where it asked, and fails by it
        return {**answer, "error": str(plain(str(error))), "kind": getattr(error, "kind", "unknown")}
    return answer


async def _drain(stream: asyncio.StreamReader | None) -> str:
    """Read what is printed, so that nobody waits for us; the last of it."""
    kept = b""
    size = 0
    while stream is not None and (part := await stream.read(1 << 16)):
        size += len(part)
        kept = (kept + part)[-KEPT_BYTES:]
    text = kept.decode("utf-8", "replace").strip()
    return f"({size - len(kept)} bytes before) {text}" if size > len(kept) else text


def _death(code: int, memory_bytes: int) -> Failure:
    """Why a process ended without a word; under a limit, SIGKILL is the kernel's out-of-memory killer."""
    if memory_bytes and code in (-signal.SIGKILL, 128 + signal.SIGKILL):
        return Failure(kinds.OUT_OF_MEMORY, f"its process was killed; its limit is {memory_bytes} bytes")
    named = code < 0 and -code in set(signal.Signals)
    how = f"by {signal.Signals(-code).name}" if named else f"with code {code}"
    return Failure(kinds.UNKNOWN, f"its process ended {how} and told nothing")


def _told(end: dict[str, Any]) -> ChildFailed:
    failure = Failure(str(end.get("kind", "")), str(end.get("error", "")), end.get("retry_after_s"))
    return ChildFailed(failure, traceback=str(end.get("traceback", "")), cancelled=bool(end.get("cancelled")))


def _kill_group(process: asyncio.subprocess.Process) -> None:
    """Kill the process and whatever it has started, also when it has ended itself."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


async def _put_down(process: asyncio.subprocess.Process) -> None:
    """Kill what is left of it and wait for it, through any cancellation: no zombie, no orphan."""
    if process.returncode is None:
        _kill_group(process)
    waiting = asyncio.ensure_future(process.wait())
    cancelled: asyncio.CancelledError | None = None
    while not waiting.done():
        try:
            await asyncio.shield(waiting)
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
