"""A transport whose writes can be counted."""

import asyncio
from typing import Any


class Counted(asyncio.Transport):
    """A real transport's writes, one by one, on their way to it."""

    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.inner = inner
        self.writes: list[bytes] = []

    def write(self, data: Any) -> None:
        self.writes.append(bytes(data))
        self.inner.write(data)

    def __getattribute__(self, name: str) -> Any:
        if name in ("inner", "writes", "write", "__class__", "__dict__"):
            return object.__getattribute__(self, name)
        return getattr(object.__getattribute__(self, "inner"), name)
