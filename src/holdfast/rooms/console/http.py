"""The page and the one address that feeds it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import msgspec

from holdfast.edge.page import page_answer
from holdfast.kernel.route import Answer, Call, Route
from holdfast.rooms.console.rules import Status


class ConsoleHttp:
    """Serves `page` as it is, and what `status` says in the shape of `Status`."""

    def __init__(self, page: str, status: Callable[[], Awaitable[Mapping[str, Any]]]) -> None:
        self._status = status
        self._page = page_answer(page)

    async def page(self, call: Call) -> Answer:
        """The page; it holds no data, so anyone may have it."""
        return self._page

    async def status(self, call: Call) -> Answer:
        """What is running, as the page polls it."""
        found = msgspec.convert(await self._status(), Status, from_attributes=True)
        return Answer(found, headers=(("cache-control", "no-store"),))


def routes(http: ConsoleHttp, path: str) -> Sequence[Route]:
    """The page at `path`, open; its data asks for the admin token outside development."""
    return (
        Route("GET", path, http.page, "The console.", listed=False),
        Route("GET", "/api/v1/status", http.status, "What is running.", answer=Status, public=False),
    )
