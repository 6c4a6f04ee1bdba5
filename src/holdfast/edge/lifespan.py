"""Starts and stops the rooms around the app's own lifespan, whether or not the app has one."""

import logging
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

from holdfast.edge.passage import Receive, Send
from holdfast.kernel.errors import Problem
from holdfast.ports.services import Scope

logger = logging.getLogger("holdfast.edge")

App = Callable[[Scope, Receive, Send], Awaitable[None]]

_OVER = frozenset({"lifespan.startup.failed", "lifespan.shutdown.complete", "lifespan.shutdown.failed"})


class Lifespan:
    """Rooms up, app up, app down, rooms down; a failure on the way is told to the server."""

    def __init__(
        self, app: App, *, start: Callable[[], Awaitable[None]], stop: Callable[[], Awaitable[None]]
    ) -> None:
        self._app = app
        self._start = start
        self._stop = stop

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        told: list[str] = []
        failed: list[Exception] = []

        async def watched_receive() -> Any:
            message = await receive()
            if message["type"] == "lifespan.startup":
                try:
                    await self._start()
                except Exception as error:
                    failed.append(error)
                    raise
            return message

        async def watched_send(message: Any) -> None:
            if failed and message["type"] == "lifespan.startup.failed":
                message = _refusal(failed[0])
            told.append(message["type"])
            if message["type"] in _OVER:
                await self._stop()
            await send(message)

        try:
            await self._app(scope, watched_receive, watched_send)
        except Exception:
            if told:
                # It spoke the protocol and then failed: the server has to know.
                raise
            logger.debug("the app has no lifespan of its own", exc_info=True)
        if failed and not told:
            await send(_refusal(failed[0]))
        elif not told:
            await self._alone(receive, send)

    async def _alone(self, receive: Receive, send: Send) -> None:
        """The app does not speak lifespan: answer the server in its place."""
        try:
            await self._start()
        except Exception as error:
            await send(_refusal(error))
            raise
        await send({"type": "lifespan.startup.complete"})
        while (await receive())["type"] != "lifespan.shutdown":
            pass
        await self._stop()
        await send({"type": "lifespan.shutdown.complete"})


def _refusal(error: Exception) -> dict[str, str]:
    """What the server prints: one line for what the reader can mend, the whole trace for the rest."""
    text = error.line() if isinstance(error, Problem) else "".join(traceback.format_exception(error))
    return {"type": "lifespan.startup.failed", "message": text}
