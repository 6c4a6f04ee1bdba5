"""A zip file that is opened with care: what it unpacks to is bounded before anything is unpacked."""

import zipfile
from io import BytesIO
from zlib import error as ZlibError

from holdfast.rooms.knowledge.rules.parsed import Limits
from holdfast.rooms.knowledge.rules.parsing_problems import corrupt, encrypted, too_much_unpacked

_ENTRY = b"PK\x01\x02"
_SMALL = 1_000_000
"""Bytes below which a high ratio is no concern: empty tables pack a thousand to one."""
_ENCRYPTED = 0x1


class Archive:
    """The entries of a zip file, each read only as far as it says it is long."""

    def __init__(self, raw: bytes, limits: Limits) -> None:
        # Before the directory is read, which takes a thousand times an entry's bytes of memory.
        if raw.count(_ENTRY) > limits.zip_entries:
            raise too_much_unpacked(f"the archive has more than {limits.zip_entries} entries")
        try:
            self._file = zipfile.ZipFile(BytesIO(raw))
            entries = self._file.infolist()
        except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError, EOFError) as error:
            raise corrupt("the archive's directory cannot be read") from error
        _check(entries, limits)
        self.names = frozenset(entry.filename for entry in entries)
        self._left = limits.zip_bytes

    def read(self, name: str) -> bytes:
        """One entry, empty when it is not there. Read twice counts twice: entries may share their bytes."""
        if name not in self.names:
            return b""
        try:
            with self._file.open(name) as entry:
                found = entry.read(self._left + 1)
        except RuntimeError as error:  # what zipfile says of a password
            raise encrypted("the document") from error
        except (zipfile.BadZipFile, NotImplementedError, ZlibError, OSError, EOFError, ValueError) as error:
            raise corrupt(f"{name} in the archive cannot be unpacked") from error
        if len(found) > self._left:
            raise too_much_unpacked("the archive unpacks to more than it says")
        self._left -= len(found)
        return found


def _check(entries: list[zipfile.ZipInfo], limits: Limits) -> None:
    if len(entries) > limits.zip_entries:
        raise too_much_unpacked(f"the archive has {len(entries)} entries, {limits.zip_entries} are allowed")
    if any(entry.flag_bits & _ENCRYPTED for entry in entries):
        raise encrypted("the document")
    whole = sum(entry.file_size for entry in entries)
    if whole > limits.zip_bytes:
        raise too_much_unpacked(f"the archive unpacks to {whole} bytes, {limits.zip_bytes} are allowed")
    for entry in entries:
        if entry.file_size > _SMALL and entry.file_size > limits.zip_ratio * max(1, entry.compress_size):
            raise too_much_unpacked(
                f"an entry of the archive unpacks to more than {limits.zip_ratio} times its size"
            )
