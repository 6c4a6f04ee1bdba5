"""Models that the tests own: one that quotes, one that says what it is told to."""

import itertools

from holdfast.ports.model import Citation, Piece, Reply, Usage


class Quoting:
    """Quotes the first sentence of its first passage that shares a word with the question, as the extractive
    model would; `meanwhile` is awaited before it answers."""

    def __init__(self, meanwhile=None):
        self.asks = []
        self.meanwhile = meanwhile
        self.closed = 0

    async def complete(self, ask):
        self.asks.append(ask)
        if self.meanwhile is not None:
            await self.meanwhile()
        return self.answer(ask)

    def answer(self, ask):
        words = [word[:2] for word in ask.messages[-1].content.split()]
        for passage in ask.passages:
            for sentence in passage.text.replace("\n", " ").split(". "):
                quote = sentence.strip()
                start = passage.text.find(quote)
                if start >= 0 and any(word in quote for word in words):
                    cited = Citation(passage.id, start, start + len(quote), quote)
                    return self.reply(f"“{quote}” [1]", (cited,))
        return self.reply("I found no answer.", ())

    def reply(self, text, citations):
        return Reply(text=text, model="m", generated_by="extractive", citations=citations, usage=Usage(3, 2))

    async def stream(self, ask):
        reply = await self.complete(ask)
        try:
            for at in range(0, len(reply.text), 3):
                yield Piece(reply.text[at : at + 3])
            yield Piece(reply=reply)
        finally:
            self.closed += 1

    async def embed(self, texts, *, model="", tenant=""):
        raise NotImplementedError


class Saying(Quoting):
    """Writes these texts in turn, again and again."""

    def __init__(self, *texts, meanwhile=None):
        super().__init__(meanwhile)
        self._texts = itertools.cycle(texts)

    def answer(self, ask):
        return Reply(text=next(self._texts), model="m", generated_by="m", usage=Usage(3, 2))
