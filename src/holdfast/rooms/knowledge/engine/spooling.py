"""An upload on its way: written to a file that has no name, so that nothing of it outlives the process."""

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import IO

from holdfast.rooms.knowledge.rules.problems import UploadTooLarge

BUFFER = 262_144
"""Bytes that are held before they are written, and that are read back at once."""


class Spool:
    """Bytes as they come, at most `limit` of them, and their digest. Close it, or use it `async with`."""

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder = folder
        self._limit = limit
        self._file: IO[bytes] | None = None
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._hash = hashlib.sha256()
        self.size = 0

    async def __aenter__(self) -> "Spool":
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    @property
    def digest(self) -> str:
        """SHA-256 of everything written, in hex."""
        return self._hash.hexdigest()

    async def write(self, data: bytes) -> None:
        """Take `data`; raises UploadTooLarge (413) at the limit, before it is written."""
        self.size += len(data)
        if self.size > self._limit:
            raise too_large(self._limit)
        self._held.append(data)
        self._held_bytes += len(data)
        if self._held_bytes >= BUFFER:
            await self._flush()

    async def parts(self) -> AsyncGenerator[bytes, None]:
        """Everything written, from the beginning, in pieces of BUFFER bytes; the last may be shorter."""
        await self._flush()
        if self._file is None:
            return
        file = self._file
        await asyncio.to_thread(file.seek, 0)
        while data := await asyncio.to_thread(file.read, BUFFER):
            yield data

    async def close(self) -> None:
        """Let go of the file, and with it of what was written; idempotent."""
        file, self._file = self._file, None
        self._held = []
        if file is not None:
            await asyncio.to_thread(file.close)

    async def _flush(self) -> None:
        data, self._held, self._held_bytes = b"".join(self._held), [], 0
        if data:
            await asyncio.to_thread(self._write, data)

    def _write(self, data: bytes) -> None:
        self._hash.update(data)
        if self._file is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 - `close` closes it
        self._file.seek(0, 2)
        self._file.write(data)


def too_large(limit: int) -> UploadTooLarge:
    """What to raise for a file of more than `limit` bytes."""
    return UploadTooLarge(
        f"the file has more than {limit:,} bytes", hint="set knowledge.max_upload_bytes to take larger ones"
    )
