"""Models on disk, each in a folder named by what is in it: never half written, never silently altered.

`<folder>/<id>/` holds one `.npy` an array and `manifest.json`, which lists every file's SHA-256; `id` is the
SHA-256 of the manifest. Equal models have equal ids, a changed byte is found, and arrays are memory-mapped,
so that several workers share one copy.
"""

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from holdfast.kernel.errors import NotFound, Problem
from holdfast.rooms.recommend.models.content import ContentIndex
from holdfast.rooms.recommend.models.ease import Ease
from holdfast.rooms.recommend.models.gfcf import Gfcf
from holdfast.rooms.recommend.models.persona import PersonaIndex
from holdfast.rooms.recommend.models.popularity import Popularity

MANIFEST = "manifest.json"
FORMAT = 1
_ID = re.compile("[0-9a-f]{64}")


class Storable(Protocol):
    """Whatever can be taken apart into named arrays."""

    @property
    def name(self) -> str: ...

    def arrays(self) -> dict[str, NDArray[Any]]: ...


KINDS = {kind.name: kind for kind in (Ease, Gfcf, Popularity, ContentIndex, PersonaIndex)}


class CorruptArtefact(Problem):
    """A stored model is not what was written."""

    code = "corrupt-artefact"
    status = 500


class Manifest(msgspec.Struct, frozen=True):
    """What an artefact holds. Its bytes decide the id: no clock, no host, no path in it."""

    kind: str
    files: dict[str, str]
    """Array name -> SHA-256 of its `.npy` file, by name."""
    meta: dict[str, Any]
    """JSON values of the caller's: what the model was trained on, its figures."""
    format: int = FORMAT


def save(folder: Path, model: Storable, meta: Mapping[str, Any]) -> str:
    """Write `model` below `folder` and return its id (64 hex digits).

    Everything is written and flushed beside its place, then renamed: a crash leaves a `.partial-*` folder
    that nobody reads. Saving what is already there, intact, changes nothing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".partial-", dir=folder))
    try:
        arrays = sorted(model.arrays().items())
        files = {name: _write_array(draft / f"{name}.npy", array) for name, array in arrays}
        content = msgspec.json.encode(Manifest(model.name, files, dict(meta)), order="sorted")
        identity = hashlib.sha256(content).hexdigest()
        _write(draft / MANIFEST, content)
        _put(draft, folder / identity)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return identity


def load(folder: Path, identity: str, *, verify: bool = True) -> tuple[Any, dict[str, Any]]:
    """(model, meta) of the artefact `identity`, its arrays memory-mapped.

    Raises NotFound when there is none, CorruptArtefact when a byte differs from what was written. `verify`
    reads every byte once (about 1 s a GB); without it only the manifest is checked.
    """
    place = folder / identity
    if not _ID.fullmatch(identity) or not place.is_dir():
        raise NotFound(f"there is no model {identity}", hint="train one, or name one that is listed")
    manifest = _manifest(place, identity)
    arrays = {
        name: _read_array(place / f"{name}.npy", digest, verify) for name, digest in manifest.files.items()
    }
    return KINDS[manifest.kind].from_arrays(arrays), manifest.meta


def listed(folder: Path) -> list[str]:
    """The ids of the artefacts below `folder`, sorted; drafts that a crash left are not among them."""
    if not folder.is_dir():
        return []
    found = (path for path in folder.iterdir() if (path / MANIFEST).is_file())
    return sorted(path.name for path in found if _ID.fullmatch(path.name))


def _manifest(place: Path, identity: str) -> Manifest:
    try:
        content = (place / MANIFEST).read_bytes()
    except OSError as error:
        raise _corrupt(place, f"its manifest cannot be read: {error}") from None
    if hashlib.sha256(content).hexdigest() != identity:
        raise _corrupt(place, "its manifest was changed")
    manifest = msgspec.json.decode(content, type=Manifest)
    if manifest.kind not in KINDS or manifest.format != FORMAT:
        raise _corrupt(place, f"it holds a {manifest.kind!r} of format {manifest.format}, unknown here")
    return manifest


def _read_array(file: Path, digest: str, verify: bool) -> NDArray[Any]:
    try:
        if verify and _digest(file) != digest:
            raise _corrupt(file.parent, f"{file.name} was changed")
        found: NDArray[Any] = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise _corrupt(file.parent, f"{file.name} cannot be read: {error}") from None
    return found


def _corrupt(place: Path, why: str) -> CorruptArtefact:
    return CorruptArtefact(f"model {place.name}: {why}", hint=f"remove {place} and train again")


def _write_array(file: Path, array: NDArray[Any]) -> str:
    with file.open("wb") as out:
        np.save(out, np.ascontiguousarray(array), allow_pickle=False)
        out.flush()
        os.fsync(out.fileno())
    return _digest(file)


def _write(file: Path, content: bytes) -> None:
    with file.open("wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())


def _digest(file: Path) -> str:
    with file.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def _put(draft: Path, place: Path) -> None:
    """Move the draft to its place unless the same model already stands there intact."""
    if place.is_dir():
        try:
            load(place.parent, place.name)
        except CorruptArtefact:
            shutil.rmtree(place)
        else:
            return
    try:
        draft.rename(place)
    except OSError:
        if not place.is_dir():  # otherwise another worker has put the same bytes there first
            raise
