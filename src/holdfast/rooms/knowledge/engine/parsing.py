"""Documents to text, from the server's side: a few processes that read, and the clock over them."""

import asyncio
import contextlib
import os
import signal
import stat
import sys
from dataclasses import dataclass
from pathlib import Path

import msgspec

from holdfast.kernel.errors import Problem
from holdfast.rooms.knowledge.parsing.wire import (
    HEAD,
    Asked,
    Head,
    Told,
    asked_line,
    most_bytes,
    read_told,
    unpack_head,
)
from holdfast.rooms.knowledge.rules import parsing_problems as problems
from holdfast.rooms.knowledge.rules.chunks import AS_USUAL as CUT_AS_USUAL
from holdfast.rooms.knowledge.rules.chunks import Chunk, Chunking, chunks, why_not_cut
from holdfast.rooms.knowledge.rules.parsed import Limits, Parsed, Section, why_not_sound

_START_S = 15.0
"""For an interpreter to start and a parser to be imported, on a machine that has other things to do."""
_END_S = 2.0
_BOOT = (
    "import sys; sys.path[:] = sys.argv[1:]; "
    "from holdfast.rooms.knowledge.parsing.nursery import serve; serve()"
)
_OURS = str(Path(__file__).parents[4])
"""Where this package is imported from: the process has no other way to know."""
_SHORT = 20_000
"""Characters of a text that is cut where it is: at worst a fifth of a second, mostly ten milliseconds."""
_TAIL_BYTES = 2_000
AS_USUAL = Limits()


class Lost(Exception):
    """The process that reads ended, or answered what it must not."""


class Parsers:
    """Reads documents in at most `slots` processes at once; each document in a process of its own.

    Processes start when they are first needed and stay. None of them has the server's environment, and one
    that is in the middle of a document when that is cancelled or out of time is killed with all it started.
    """

    def __init__(self, slots: int = 2, *, start_s: float = _START_S) -> None:
        """`start_s` is what a process may take beyond a document's own time before it is given up."""
        self._start_s = start_s
        self._slots = asyncio.Semaphore(slots)
        self._idle: list[_Process] = []
        self._all: set[_Process] = set()

    async def parse(
        self, source: Path, *, name: str, media_type: str = "", limits: Limits = AS_USUAL
    ) -> Parsed:
        """The text of the file at `source`, which was uploaded as `name` and declared as `media_type`.

        Raises what stands in rules/parsing_problems.py: Unreadable and its kinds, DocumentTooLarge and its
        kinds, ParserMissing, ParserUnavailable. Cancelling it kills the process that reads.
        """
        path, size_bytes = await asyncio.to_thread(_looked_at, source)
        if size_bytes > limits.size_bytes:
            raise problems.too_large(size_bytes, limits.size_bytes)
        asked = Asked(path, name, media_type, limits)
        async with self._slots:
            head, told = await self._ask(asked)
        return _parsed(head, told, limits)

    async def cut(
        self,
        text: str,
        sections: tuple[Section, ...] = (),
        how: Chunking = CUT_AS_USUAL,
        *,
        limits: Limits = AS_USUAL,
    ) -> list[Chunk]:
        """`chunks(text, sections, how)`; a long text is cut where the interpreter is not the server's.

        A text made for it (a full stop after every letter) takes seconds a million characters.
        """
        if len(text) <= _SHORT:
            return await asyncio.to_thread(chunks, text, sections, how)
        asked = Asked("", "", "", limits, text, sections, how)
        async with self._slots:
            head, told = await self._ask(asked)
        return _cut(head, told, asked)

    async def stop(self) -> None:
        """End every process; what is being read is lost."""
        for process in list(self._all):
            await self._end(process)
        self._idle.clear()

    async def _ask(self, asked: Asked) -> tuple[Head, bytes]:
        """What the process said; asked once more where an idle process had died meanwhile."""
        while True:
            fresh = not self._idle
            process = await self._start() if fresh else self._idle.pop()
            try:
                async with asyncio.timeout(asked.limits.wall_s + self._start_s):
                    answer = await process.ask(asked)
            except TimeoutError:
                await self._end(process)
                raise problems.too_slow(asked.limits.wall_s, "wall-clock") from None
            except Lost:
                said = await self._end(process)
                if fresh:
                    raise problems.unavailable(said) from None
            except BaseException:
                await self._end(process)
                raise
            else:
                self._idle.append(process)
                return answer

    async def _start(self) -> "_Process":
        paths = [_OURS, *(path for path in sys.path if path)]
        try:
            running = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-I", "-S", "-c", _BOOT, *dict.fromkeys(paths)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env={"LC_ALL": "C.UTF-8"},
                start_new_session=True,
            )
        except OSError as error:
            raise problems.unavailable(str(error)) from error
        process = _Process(running)
        self._all.add(process)
        return process

    async def _end(self, process: "_Process") -> str:
        """Kill it and all it started; the end of what it had to complain about."""
        self._all.discard(process)
        return await asyncio.shield(process.end())


@dataclass(eq=False, slots=True)
class _Process:
    """One process that reads, and the pipes to it."""

    running: asyncio.subprocess.Process

    async def ask(self, asked: Asked) -> tuple[Head, bytes]:
        """Give it one document and take the answer; raises Lost when there is none."""
        assert self.running.stdin is not None
        assert self.running.stdout is not None
        try:
            self.running.stdin.write(asked_line(asked) + b"\n")
            await self.running.stdin.drain()
            head = unpack_head(await self.running.stdout.readexactly(HEAD.size))
            if head.size_bytes > most_bytes(asked.limits):
                raise Lost
            return head, await self.running.stdout.readexactly(head.size_bytes)
        except (OSError, asyncio.IncompleteReadError) as error:
            raise Lost from error

    async def end(self) -> str:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if hasattr(os, "killpg"):
                os.killpg(self.running.pid, signal.SIGKILL)
            else:
                self.running.kill()
        assert self.running.stderr is not None
        assert self.running.stdin is not None
        said = b""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_END_S):
                said = await self.running.stderr.read(_TAIL_BYTES)
                await self.running.wait()
        self.running.stdin.close()
        return said.decode("utf-8", "replace").strip().rpartition("\n")[2]


def _looked_at(source: Path) -> tuple[str, int]:
    """The path from the root and the bytes of the file; raises Unreadable for what is no file."""
    try:
        told = source.stat()
    except OSError as error:
        raise problems.corrupt(f"the stored document cannot be opened: {error.strerror}") from error
    if not stat.S_ISREG(told.st_mode):
        raise problems.corrupt("the stored document is not a file")
    return str(source.absolute()), told.st_size


def _told(head: Head, raw: bytes, limits: Limits) -> Told:
    """The answer; raises the Problem that the process told, or that its end tells."""
    if head.status:
        raise _end_of(head, limits)
    try:
        told = read_told(raw)
    except msgspec.MsgspecError:
        raise problems.corrupt("the parser's answer cannot be read") from None
    if told.parsed is None and told.chunks is None:
        raise problems.from_code(told.code, told.detail, told.hint)
    return told


def _cut(head: Head, raw: bytes, asked: Asked) -> list[Chunk]:
    found = _told(head, raw, asked.limits).chunks
    if found is None or (asked.chunking and why_not_cut(asked.text, found, asked.chunking)):
        raise problems.corrupt("the parser cut it at places that cannot be")
    return list(found)


def _parsed(head: Head, raw: bytes, limits: Limits) -> Parsed:
    told = _told(head, raw, limits)
    if told.parsed is None:
        raise problems.corrupt("the parser gave no text")
    wrong = why_not_sound(told.parsed, limits)
    if wrong:
        raise problems.corrupt(f"the parser's answer is {wrong}")
    return told.parsed


def _end_of(head: Head, limits: Limits) -> Problem:
    """What a child's death means; by the signal that the limit of the kernel sent."""
    ended = -head.status
    if ended == signal.SIGALRM:
        return problems.too_slow(limits.wall_s, "wall-clock")
    if ended == signal.SIGXCPU or (ended == signal.SIGKILL and head.cpu_s >= limits.cpu_s):
        return problems.too_slow(limits.cpu_s, "processor")
    if ended == signal.SIGKILL or head.memory_bytes >= limits.memory_bytes:
        return problems.too_much_memory(limits.memory_bytes)
    return problems.corrupt(
        f"the parser crashed on it (signal {ended})" if ended > 0 else "the parser crashed on it"
    )
