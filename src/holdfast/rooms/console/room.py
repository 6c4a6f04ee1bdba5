"""Wiring of the console."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta

from holdfast.kernel.room import Room
from holdfast.kernel.route import Route
from holdfast.rooms.console.http import ConsoleHttp, routes

PAGE = Path(__file__).with_name("static") / "index.html"


class Config(msgspec.Struct, frozen=True):
    """Settings of the console, `[console]` in the file."""

    path: Annotated[
        str,
        Meta(
            pattern="^/[^{}?#]*$",
            description="Where the page is served; move it when your app has a page there.",
        ),
    ] = "/"


class ConsoleRoom(Room):
    """Shows a person what is running.

    `status` is called at every poll (each open page: every 2 s) and gives the keys of `rules.Status`;
    it must answer from memory.
    """

    name: ClassVar[str] = "console"

    def __init__(self, config: Config, *, status: Callable[[], Awaitable[Mapping[str, Any]]]) -> None:
        self._path = config.path
        self._http = ConsoleHttp(PAGE.read_text("utf-8"), status)

    def routes(self) -> Sequence[Route]:
        return routes(self._http, self._path)
