"""Waiting for what somebody else brings about: a task, a thread, another process, a server.

A test waits for a condition, never for a time. What is waited for must stay so until it is seen: after the
first turns a condition is looked at every few milliseconds, so that whoever is waited for has the processor.
"""

import asyncio
import inspect
import linecache
import threading
import time
from collections.abc import Callable
from typing import Any

PATIENCE_S = 120.0
"""How long anything is waited for that must happen: enough for a busy machine, less than a test may take."""

_TURNS = 200
"""Of the loop, before time is given away: what the loop's own tasks do is done by then."""
_SHORTEST_S, _LONGEST_S = 0.001, 0.02
"""Of the pauses; each is a quarter longer than the one before."""

Says = str | Callable[[], object]


async def until(holds: Callable[[], Any], what: Says = "", *, patience_s: float = PATIENCE_S) -> Any:
    """What `holds()` gives, or gives to await, as soon as that is true.

    AssertionError after `patience_s`: with `what` was waited for, or what that tells by then, else with the
    line that waits.
    """
    loop = asyncio.get_running_loop()
    end, turns, never, pause_s = loop.time() + patience_s, 0, loop.create_future(), _SHORTEST_S
    while True:
        found = holds()
        if found := await found if inspect.isawaitable(found) else found:
            return found
        if loop.time() > end:
            raise AssertionError(_in_vain(holds, what, patience_s))
        turns += 1
        if turns < _TURNS:
            await asyncio.sleep(0)
        else:
            await asyncio.wait((never,), timeout=pause_s)
            pause_s = min(1.25 * pause_s, _LONGEST_S)


def wait_until(
    holds: Callable[[], Any],
    what: Says = "",
    *,
    patience_s: float = PATIENCE_S,
    despite: tuple[type[Exception], ...] = (),
) -> Any:
    """The same where no loop runs. Errors of `despite` mean that it does not hold yet."""
    end, never, pause_s = time.monotonic() + patience_s, threading.Event(), _SHORTEST_S
    while True:
        try:
            if found := holds():
                return found
        except despite:
            pass
        if time.monotonic() > end:
            raise AssertionError(_in_vain(holds, what, patience_s))
        never.wait(pause_s)
        pause_s = min(1.25 * pause_s, _LONGEST_S)


def _in_vain(holds: Callable[[], Any], what: Says, patience_s: float) -> str:
    said = what if isinstance(what, str) else str(what())
    return f"not within {patience_s:g} s: {said or _line_of(holds)}"


def _line_of(holds: Callable[[], Any]) -> str:
    code = getattr(holds, "__code__", None)
    if code is None:
        return repr(holds)
    line = linecache.getline(code.co_filename, code.co_firstlineno).strip()
    return f"{line} ({code.co_filename}:{code.co_firstlineno})"
