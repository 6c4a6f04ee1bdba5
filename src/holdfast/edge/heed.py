"""Stops the work for a client that has left: whatever it pays for upstream ends with it."""

import asyncio
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any

from holdfast.kernel.context import Ctx

LEFT = "client_disconnect"
"""How `Event.ended` names a client that did not wait for its answer."""
SHUTDOWN = "shutdown"
"""How it names the server's stop."""


async def while_listened(
    ctx: Ctx, receive: Callable[[], Awaitable[Any]], work: Coroutine[Any, Any, None]
) -> None:
    """`await work`; when the client leaves first, cancel it and return as soon as it has ended.

    A body that has not been read is passed over: behind it all that a server has to say is that it is over.
    Work that never waits (an answer from the cache) is done before anybody could leave: nobody listens then,
    which would cost a third of it.
    """
    try:
        waits_for = work.send(None)
    except StopIteration:
        return
    task = asyncio.current_task()
    assert task is not None
    before = task.cancelling()
    left = False

    async def listen() -> None:
        nonlocal left
        message = await receive()
        while message.get("more_body"):
            message = await receive()
        if message["type"] == "http.request":
            message = await receive()  # that was the end of a body that nobody reads
        # Servers say the same when the answer is whole; the record knows which it was.
        if message["type"] == "http.disconnect" and ctx.event.ended == LEFT:
            left = True
            task.cancel()

    listening = asyncio.get_running_loop().create_task(listen())
    try:
        await _the_rest(work, waits_for)
    except asyncio.CancelledError:
        if not left or task.uncancel() > before:
            raise
    finally:
        listening.cancel()


@types.coroutine
def _the_rest(work: Coroutine[Any, Any, None], waits_for: Any) -> Generator[Any, Any, None]:
    """What is left of work that has begun and now waits for something; in the same task."""
    try:
        yield waits_for
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is for the work
        try:
            waits_for = work.throw(error)
        except StopIteration:
            return
        yield from _the_rest(work, waits_for)
    else:
        yield from work.__await__()
