"""One open segment: whole lines or nothing, under a lock that dies with its process."""

import os
from pathlib import Path

from holdfast.rooms.telemetry.rules.segments import whole_length
from holdfast.rooms.telemetry.store.lock import is_same_file, try_lock

HOT = "hot"
SEALED = "sealed"
OPENING = ".opening"
"""The name's end while the file is not locked yet, which keeps those who look for orphans away."""


class Segment:
    """The file this process appends to. Only the writer thread uses it."""

    def __init__(self, folder: Path, name: str, opened_s: float) -> None:
        """Create `<folder>/hot/<name>`; raises OSError when the disk will not have it."""
        self.path = folder / HOT / name
        self.opened_s = opened_s
        self.size = 0
        self.broken = False
        """A line may be torn and could not be cut off: write no more here."""
        self._sealed = folder / SEALED / name
        self._fd = self._create()

    def _create(self) -> int:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._sealed.parent.mkdir(parents=True, exist_ok=True)
        opening = self.path.with_name(self.path.name + OPENING)
        fd = os.open(opening, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            if not try_lock(fd):
                raise BlockingIOError(f"another process holds {opening}")
            opening.rename(self.path)
        except OSError:
            os.close(fd)
            raise
        return fd

    def write(self, lines: list[bytes]) -> tuple[int, OSError | None]:
        """Append `lines`; how many are in the file, and why not all. Never leaves half a line."""
        chunk = b"\n".join((*lines, b""))
        done = 0
        try:
            done = os.write(self._fd, chunk)
            while done < len(chunk):
                done += os.write(self._fd, memoryview(chunk)[done:])
        except OSError as error:
            return self._keep_whole(chunk[:done]), error
        self.size += done
        return len(lines), None

    def _keep_whole(self, written: bytes) -> int:
        whole = whole_length(written)
        try:
            os.ftruncate(self._fd, self.size + whole)
        except OSError:
            self.broken = whole != len(written)
        self.size += whole
        return written.count(b"\n", 0, whole)

    def seal(self) -> None:
        """Close the file for good and hand it on; an empty one just goes.

        Not synced to the platter: that may take seconds, and a record must be with the kernel, which
        outlives this process, within 200 ms. Parquet files are synced, in another thread.
        """
        try:
            if not is_same_file(self._fd, self.path):
                return
            if self.broken:
                return  # without its lock it is an orphan, and the next upkeep cuts off the torn line
            if self.size:
                self.path.rename(self._sealed)
            else:
                self.path.unlink()
        finally:
            os.close(self._fd)

    def forget(self) -> None:
        """Close this process's copy after a fork; the parent's lock stays."""
        os.close(self._fd)
