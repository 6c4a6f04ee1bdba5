"""Start and stop around every kind of app: with a lifespan, without one, and one that fails."""

import asyncio
from typing import Any

import pytest

from holdfast.edge.lifespan import Lifespan


class Server:
    """What a server does: send startup, wait, send shutdown, wait."""

    def __init__(self) -> None:
        self.inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.told: asyncio.Queue[str] = asyncio.Queue()

    async def run(self, app: Any) -> list[str]:
        async def send(message: dict[str, Any]) -> None:
            await self.told.put(message["type"])

        task = asyncio.create_task(app({"type": "lifespan"}, self.inbox.get, send))
        heard = []
        for kind in ("startup", "shutdown"):
            await self.inbox.put({"type": f"lifespan.{kind}"})
            waiting = asyncio.create_task(self.told.get())
            await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                waiting.cancel()
                break
            heard.append(waiting.result())
            if heard[-1].endswith("failed"):
                break
        await task
        return heard


def around(app: Any) -> tuple[Lifespan, list[str]]:
    order: list[str] = []

    async def start() -> None:
        order.append("rooms up")

    async def stop() -> None:
        order.append("rooms down")

    async def noted(scope: Any, receive: Any, send: Any) -> None:
        await app(scope, receive, send, order)

    return Lifespan(noted, start=start, stop=stop), order


async def speaks(scope: Any, receive: Any, send: Any, order: list[str]) -> None:
    await receive()
    order.append("app up")
    await send({"type": "lifespan.startup.complete"})
    await receive()
    order.append("app down")
    await send({"type": "lifespan.shutdown.complete"})


async def raises(scope: Any, receive: Any, send: Any, order: list[str]) -> None:
    raise AssertionError("only http here")


async def returns(scope: Any, receive: Any, send: Any, order: list[str]) -> None:
    return


async def refuses(scope: Any, receive: Any, send: Any, order: list[str]) -> None:
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no database"})


COMPLETE = ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def test_rooms_start_before_the_app_and_stop_after_it() -> None:
    lifespan, order = around(speaks)
    assert await Server().run(lifespan) == COMPLETE
    assert order == ["rooms up", "app up", "app down", "rooms down"]


@pytest.mark.parametrize("app", [raises, returns])
async def test_an_app_without_a_lifespan_gets_ours(app: Any) -> None:
    lifespan, order = around(app)
    assert await Server().run(lifespan) == COMPLETE
    assert order == ["rooms up", "rooms down"]


async def test_an_app_that_refuses_to_start_takes_the_rooms_down() -> None:
    lifespan, order = around(refuses)
    assert await Server().run(lifespan) == ["lifespan.startup.failed"]
    assert order == ["rooms up", "rooms down"]


async def test_rooms_that_cannot_start_are_told_to_the_server() -> None:
    async def start() -> None:
        raise RuntimeError("no disk")

    async def stop() -> None:
        return

    async def alone(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError

    with pytest.raises(RuntimeError, match="no disk"):
        await Server().run(Lifespan(alone, start=start, stop=stop))
