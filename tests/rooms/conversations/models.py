"""Models for these tests: they echo, wait for events, fail, are cut off, or ignore every clock."""

import asyncio

from holdfast.ports.model import Citation, Embedded, ModelFailed, Piece, Reply, Usage


class Echo:
    """Says the message again, word by word; keeps what it was asked."""

    def __init__(self, before="You said: "):
        self.before = before
        self.asks = []
        self.summaries = []

    def answer(self, ask):
        return self.before + ask.messages[-1].content

    async def complete(self, ask):
        self.summaries.append(ask)
        return Reply(text="The user likes tea. 사용자는 차를 좋아한다.", model="echo", generated_by="echo")

    async def stream(self, ask):
        self.asks.append(ask)
        text = self.answer(ask)
        for word in text.split(" "):
            yield Piece(word + " ")
        yield Piece(reply=Reply(text=text + " ", model="echo", generated_by="echo", usage=Usage(3, 5, 0.1)))

    async def embed(self, texts, *, model="", tenant=""):
        return Embedded([[0.0] for _ in texts])


class Quoting(Echo):
    """As the extractive model: quotes the first passage, or refuses; `lies` adds a quote that is none."""

    lies = False

    async def stream(self, ask):
        self.asks.append(ask)
        if not ask.passages:
            reply = Reply(text="I do not know.", generated_by="extractive")
        else:
            passage = ask.passages[0]
            quotes = [Citation(passage.id, 0, len(passage.text), passage.text)]
            if self.lies:
                quotes.append(Citation(passage.id, 0, 4, "made up"))
            reply = Reply(text=f'"{passage.text}"', generated_by="extractive", citations=tuple(quotes))
        yield Piece(reply=reply)


class Gated(Echo):
    """Says each part when it is let; `closed` is set when it was put down before its end."""

    def __init__(self, *parts):
        super().__init__()
        self.parts = parts or ("one ", "two ", "three")
        self.asked = asyncio.Event()
        self.gates = [asyncio.Event() for _ in range(len(self.parts) + 1)]
        self.closed = asyncio.Event()

    def let(self, *numbers):
        for number in numbers or range(len(self.gates)):
            self.gates[number].set()

    async def stream(self, ask):
        self.asks.append(ask)
        self.asked.set()
        try:
            for gate, part in zip(self.gates, self.parts, strict=False):
                await gate.wait()
                yield Piece(part)
            await self.gates[-1].wait()
            yield Piece(reply=Reply(text="".join(self.parts), generated_by="gated", usage=Usage(1, 3)))
        except (GeneratorExit, asyncio.CancelledError):
            self.closed.set()
            raise


class Saying(Echo):
    """Says these pieces, then raises, or ends without a reply."""

    def __init__(self, *pieces, error=None):
        super().__init__()
        self.pieces = pieces
        self.error = error

    async def stream(self, ask):
        self.asks.append(ask)
        for piece in self.pieces:
            yield piece if isinstance(piece, Piece) else Piece(piece)
        if self.error is not None:
            raise self.error


def failing():
    return Saying(error=ModelFailed("every provider failed", hint="wait"))
