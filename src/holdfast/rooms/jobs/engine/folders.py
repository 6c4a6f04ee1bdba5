"""Folders of attempts: each attempt has one of its own, and nothing of it is left when it has ended.

A file is overwritten once before it is removed. On a magnetic disk that makes it unreadable; on an SSD or a
copy-on-write file system the old blocks may stay until they are used again, and only encryption of the whole
disk helps there: it is no promise.
"""

import logging
import os
import shutil
import stat
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

logger = logging.getLogger("holdfast.jobs")

_PART = 1 << 20
Fill = Callable[[int], bytes]
"""That many bytes to write over a file: `os.urandom`, or zeros (`bytes`)."""


class Folders:
    """The folders of one worker's attempts: `<root>/<host>-<worker>/<job>-<attempt>`, made when asked for."""

    def __init__(self, root: Path, host: str, worker: str, fill: Fill = os.urandom) -> None:
        self.root = root
        self.host = host
        self._fill = fill
        self.own_by(worker)

    def own_by(self, worker: str) -> None:
        """From now on they are this worker's."""
        self.own = self.root / f"{self.host}-{worker}"

    def path(self, job: str, attempt: int) -> Path:
        """Where the attempt's folder is, or would be."""
        return self.own / f"{job}-{attempt}"

    def make(self, job: str, attempt: int) -> Path:
        """The folder, readable by nobody else."""
        path = self.path(job, attempt)
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return path

    def clear(self, job: str, attempt: int) -> None:
        """Overwrite and remove what the attempt left; quick when there is nothing."""
        wipe(self.path(job, attempt), self._fill)

    def close(self) -> None:
        """Remove everything of this worker."""
        wipe(self.own, self._fill)

    def others(self) -> list[str]:
        """This host's workers, other than ours, that have a folder; a worker's id has no hyphen."""
        found = [path.name.rpartition("-") for path in _entries(self.root) if path != self.own]
        return [worker for host, _, worker in found if host == self.host]

    def sweep(self, dead: Collection[str]) -> None:
        """Overwrite and remove the folders of these workers of this host."""
        for worker in dead:
            wipe(self.root / f"{self.host}-{worker}", self._fill)


def wipe(folder: Path, fill: Fill = os.urandom) -> None:
    """Overwrite every file below `folder` and remove it all; links are removed, never followed."""
    if not folder.is_dir() or folder.is_symlink():
        return
    for path in _files(folder):
        try:
            _overwrite(path, fill)
        except OSError as error:
            logger.warning("%s could not be overwritten before it is removed: %s", path, error.strerror)
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        logger.warning("%s could not be removed", folder)


def _entries(root: Path) -> list[Path]:
    try:
        return sorted(root.iterdir())
    except OSError:
        return []


def _files(folder: Path) -> Iterator[Path]:
    for place, _, names in os.walk(folder):  # links to folders are not walked into
        for name in names:
            path = Path(place) / name
            if not path.is_symlink():
                yield path


def _overwrite(path: Path, fill: Fill) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
            return  # a pipe; or a file that has another name too, which is not ours to destroy
        left = found.st_size
        while left > 0:
            left -= os.write(descriptor, fill(min(left, _PART)))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
