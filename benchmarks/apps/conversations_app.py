"""A FastAPI app with an empty handler inside Holdfast, and conversations whose model answers at once."""

import sys
from collections.abc import AsyncGenerator, Sequence

from fastapi import FastAPI

from benchmarks.apps.serving import serve_ours
from holdfast import Holdfast
from holdfast.ports.model import Ask, Embedded, Piece, Reply, Usage

ANSWER = "알겠습니다. The greenhouse on the north side holds forty tomato plants, 물은 하루에 두 번 주세요."


class AtOnce:
    """A Model that costs nothing: what remains is the turn itself."""

    reply = Reply(text=ANSWER, model="at-once", generated_by="at-once", usage=Usage(1, 1))

    async def complete(self, ask: Ask) -> Reply:
        return self.reply

    async def stream(self, ask: Ask) -> AsyncGenerator[Piece, None]:
        yield Piece(ANSWER)
        yield Piece(reply=self.reply)

    async def embed(self, texts: Sequence[str], *, model: str = "", tenant: str = "") -> Embedded:
        return Embedded([[0.0] for _ in texts])


def make(folder: str) -> FastAPI:
    app = FastAPI()

    @app.get("/items/{item_id}")
    async def item(item_id: int) -> dict[str, int]:
        return {"item_id": item_id}

    rooms = ["telemetry", "conversations", "health"]
    holdfast = Holdfast(app, data_dir=folder, rooms=rooms, conversations={"max_messages": 100_000})
    holdfast.ground.rooms["conversations"].engine.model = AtOnce()  # type: ignore[attr-defined] # its own room
    return app


if __name__ == "__main__":
    serve_ours(make(sys.argv[2]), int(sys.argv[1]))
