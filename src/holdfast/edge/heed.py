"""Stops the work for a client that has left: whatever it pays for upstream ends with it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from holdfast.kernel.context import Ctx

LEFT = "client_disconnect"
"""How `Event.ended` names a client that did not wait for its answer."""
SHUTDOWN = "shutdown"
"""How it names the server's stop."""


async def while_listened(ctx: Ctx, receive: Callable[[], Awaitable[Any]], work: Awaitable[None]) -> None:
    """`await work`; when the client leaves first, cancel it and return as soon as it has ended.

    A body that has not been read is passed over: behind it all that a server has to say is that it is over.
    """
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
        await work
    except asyncio.CancelledError:
        if not left or task.uncancel() > before:
            raise
    finally:
        listening.cancel()
