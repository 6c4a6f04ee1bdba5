"""A raw HTTP/1.1 client that sees every byte, and what the tests ask with it."""

import asyncio
import json
from typing import Any

QUESTION = "서울의 날씨는? And tomorrow?"


class Naps:
    """Pauses that pass at once and are remembered."""

    def __init__(self) -> None:
        self.taken: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.taken.append(seconds)
        await asyncio.sleep(0)


def chat(model: str, *, stream: bool = False, content: Any = QUESTION, **members: Any) -> dict[str, Any]:
    return {
        "model": model,
        "stream": stream,
        "messages": [{"role": "user", "content": content}],
        **members,
    }


class Got:
    """What came back, byte for byte, until the server closed."""

    def __init__(self, raw: bytes, error: BaseException | None) -> None:
        self.raw = raw
        self.error = error
        """The reset that ended it, if one did."""
        head, _, self.wire = raw.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        self.status = int(lines[0].split(" ")[1]) if raw else None
        self.headers = dict(line.split(": ", 1) for line in lines[1:])

    @property
    def complete(self) -> bool:
        """Whether the body has the end, or the length, that was announced."""
        if "content-length" in self.headers:
            return len(self.wire) == int(self.headers["content-length"])
        return self.wire.endswith(b"0\r\n\r\n")

    @property
    def body(self) -> bytes:
        """The body without its chunks."""
        if self.headers.get("transfer-encoding") != "chunked":
            return self.wire
        rest, body = self.wire, b""
        while rest:
            size, _, rest = rest.partition(b"\r\n")
            body += rest[: int(size, 16)]
            rest = rest[int(size, 16) + 2 :]
        return body

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def events(self) -> list[str]:
        """The blocks of the stream, as they are."""
        return [block for block in self.body.decode().split("\n\n") if block]

    @property
    def chunks(self) -> list[Any]:
        """The JSON of every data line that has one."""
        lines = [line for line in self.body.decode().splitlines() if line.startswith("data:")]
        return [json.loads(line[5:]) for line in lines if line[5:].strip() != "[DONE]"]

    @property
    def text(self) -> str:
        """The content of the first choice, streamed or not."""
        if not self.headers["content-type"].startswith("text/event-stream"):
            return self.json["choices"][0]["message"]["content"]
        return "".join(deltas(self.chunks, "content"))


def deltas(chunks: list[Any], field: str) -> list[str]:
    """This field of every delta of the first choice."""
    firsts = [one for chunk in chunks for one in chunk.get("choices", ()) if one["index"] == 0]
    return [one["delta"][field] for one in firsts if one["delta"].get(field)]


class Line:
    """One connection to the server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def to(cls, server) -> "Line":
        return cls(*await asyncio.open_connection("127.0.0.1", server.port))

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> None:
        """Write a request; header names have underscores for dashes."""
        content = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        head = [f"{method} {path} HTTP/1.1", "Host: test", f"Content-Length: {len(content)}"]
        head += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.writer.write(("\r\n".join(head) + "\r\n\r\n").encode() + content)

    async def rest(self) -> Got:
        """Everything until the server closes or resets."""
        raw = b""
        try:
            while piece := await self.reader.read(65_536):
                raw += piece
        except ConnectionResetError as reset:
            return Got(raw, reset)
        finally:
            self.writer.close()
        return Got(raw, None)

    async def one(self) -> Got:
        """One whole response of announced length, the connection left open."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = int(Got(head, None).headers["content-length"])
        return Got(head + await self.reader.readexactly(length), None)

    def leave(self) -> None:
        self.writer.close()


async def ask(
    server, body: Any = None, path: str = "/v1/chat/completions", method: str = "", **headers
) -> Got:
    """One request on a connection of its own, to its very end."""
    line = await Line.to(server)
    line.send(method or ("GET" if body is None else "POST"), path, body, connection="close", **headers)
    return await line.rest()
