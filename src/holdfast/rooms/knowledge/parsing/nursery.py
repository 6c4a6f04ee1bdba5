"""The process that reads documents: it imports the parsers once, and forks a child for each document.

A child has read nothing but its own document and ends with it, so documents share no state, and the limits of
the kernel (processor time, address space, clock) count from nothing for each. A fork takes about a
millisecond, an interpreter with its parsers a few hundred. Where there is no fork, the process ends after one
document.
"""

import codecs
import gc
import logging
import os
import select
import signal
import sys
from typing import NoReturn

from holdfast.rooms.knowledge.parsing import confine
from holdfast.rooms.knowledge.parsing.read import prepare, tell
from holdfast.rooms.knowledge.parsing.wire import Asked, Head, most_bytes, pack_head, read_asked

_PIECE = 1 << 16
_ENCODINGS = ("cp949", "euc_kr", "cp1252", "utf-16-le", "utf-16-be")
"""Loaded once, not by each child that meets one."""
_COLLECT = (50_000, 20, 50)
"""Objects until rubbish is looked for: a child ends soon, and its memory is limited in any case."""
_UNNEEDED = ("PIL", "fontTools")
"""What the parser of PDF imports where it is there, for pictures and the insides of fonts. It takes three
times as long to import as the parser, and is code that a stranger's document need not reach."""


def serve() -> None:
    """Answer one request after another; returns when nobody asks any more."""
    for unneeded in _UNNEEDED:
        sys.modules[unneeded] = None  # type: ignore[assignment] # this is how an import is refused
    for encoding in _ENCODINGS:
        codecs.lookup(encoding)
    logging.disable()  # parsers warn about every other document; what matters becomes a warning of the result
    gc.set_threshold(*_COLLECT)
    while line := _line():
        asked = read_asked(line)
        if prepare(asked):
            gc.freeze()  # what every child has in common is not to be copied by a collection
        if not hasattr(os, "fork"):
            _answer(Head(0, 0.0, 0, 0), tell(asked))
            return
        if not _answered_by_a_child(asked):
            return


def _line() -> bytes:
    """The next request; empty at the end. Unbuffered: a child must not inherit what was read ahead."""
    line = bytearray()
    while not line.endswith(b"\n"):
        piece = os.read(0, _PIECE)
        if not piece:
            return b""
        line += piece
    return bytes(line)


def _answered_by_a_child(asked: Asked) -> bool:
    """Fork, collect what the child says, pass it on; false when whoever asked has gone."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _be_the_child(asked, writing)
    os.close(writing)
    most = most_bytes(asked.limits)
    said, wanted = _collect(reading, most)
    os.close(reading)
    if said is None or not wanted:
        os.kill(child, signal.SIGKILL)
    _, status, usage = os.wait4(child, 0)
    if not wanted:
        return False
    code = os.waitstatus_to_exitcode(status)
    memory = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    _answer(Head(code, usage.ru_utime + usage.ru_stime, memory, 0), (said or b"") if code == 0 else b"")
    return True


def _be_the_child(asked: Asked, writing: int) -> NoReturn:
    code = 1
    try:
        confine.close_all_but(writing)
        confine.limit(asked.limits)
        _write(writing, tell(asked))
        code = 0
    finally:
        os._exit(code)


def _collect(reading: int, most: int) -> tuple[bytes | None, bool]:
    """What the child says, None when it says too much; and whether anybody still waits for it."""
    said = bytearray()
    waiting = select.poll()
    waiting.register(reading, select.POLLIN)
    waiting.register(0, select.POLLIN)  # nobody asks twice: what comes now is the end of the input
    while True:
        ready = dict(waiting.poll())
        if 0 in ready:
            return None, False
        piece = os.read(reading, _PIECE)
        if not piece:
            return bytes(said), True
        said += piece
        if len(said) > most:
            return None, True


def _answer(head: Head, said: bytes) -> None:
    _write(1, pack_head(head._replace(size_bytes=len(said))))
    _write(1, said)


def _write(fd: int, raw: bytes) -> None:
    view = memoryview(raw)
    while view:
        view = view[os.write(fd, view) :]
