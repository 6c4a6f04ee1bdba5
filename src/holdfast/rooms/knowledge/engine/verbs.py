"""The room's commands: knowledge add, search, ask, erase."""

import argparse
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path

from holdfast.kernel.errors import Problem
from holdfast.kernel.room import Verb
from holdfast.rooms.knowledge.engine.documents import Taken
from holdfast.rooms.knowledge.engine.knowledge import Knowledge

KINDS = frozenset({".pdf", ".docx", ".html", ".htm", ".md", ".markdown", ".txt"})
"""What `add` takes of a folder; a file that is named is taken whatever it is called."""
_PIECE = 1 << 20


class Verbs:
    """The commands, run by the CLI after the rooms have started."""

    def __init__(self, engine: Callable[[], Knowledge]) -> None:
        self._engine = engine

    def all(self) -> Sequence[Verb]:
        return (
            Verb("knowledge add", "take in documents, or folders of them", self.add, _add),
            Verb("knowledge search", "find passages", self.search, _search),
            Verb("knowledge ask", "answer a question, with citations", self.ask, _ask),
            Verb("knowledge erase", "remove everything of a tenant", self.erase, _erase),
        )

    async def add(self, options: argparse.Namespace) -> int:
        """One line a document; 1 when one of them could not be taken in."""
        engine, waiting, failed = self._engine(), [], 0
        for path, name in _files(options.paths):
            try:
                taken = await engine.add(
                    name, _read(path), tenant=options.tenant, title=options.title, tags=options.tag
                )
            except Problem as problem:
                failed += 1
                print(f"{name}: {problem.line()}", file=sys.stderr)
                continue
            waiting.append((name, taken))
        for name, taken in waiting:
            failed += not await self._ended(name, taken)
        print(f"{len(waiting) - failed:,} documents, {failed:,} failed", file=sys.stderr)
        return 1 if failed else 0

    async def _ended(self, name: str, taken: Taken) -> bool:
        """Wait for the job of an upload, and say how it went."""
        engine = self._engine()
        how = await engine.wait(taken)
        view = await engine.jobs.find(taken.job_id) if taken.job_id else None
        if how in ("succeeded", "unchanged"):
            print(f"{name}: {how}, document {taken.document_id}, version {taken.version}")
            return True
        print(f"{name}: {how}: {view.error if view is not None else ''}", file=sys.stderr)
        return False

    async def search(self, options: argparse.Namespace) -> int:
        found = await self._engine().search(
            options.question, tenant=options.tenant, tags=options.tag, most=options.most
        )
        for number, one in enumerate(found, 1):
            where = " > ".join((one.title, *one.section)) + (f", p. {one.page}" if one.page else "")
            print(f"{number}. {where} [{one.document_id} {one.start}-{one.end}] score {one.score}")
            print("   " + " ".join(one.text.split()))
        return 0

    async def ask(self, options: argparse.Namespace) -> int:
        """The answer and what it rests on; 3 when it was refused."""
        answer = await self._engine().ask(options.question, tenant=options.tenant, tags=options.tag)
        print(answer.answer)
        for one in answer.citations:
            page = f", p. {one.page}" if one.page else ""
            print(
                f"[{one.number}] {one.title}{page} [{one.document_id} {one.start}-{one.end}]: “{one.quote}”"
            )
        return 3 if answer.refused else 0

    async def erase(self, options: argparse.Namespace) -> int:
        count = await self._engine().erase(options.tenant)
        print(f"erased {count:,} documents")
        return 0


def _files(paths: Sequence[Path]) -> Iterator[tuple[Path, str]]:
    """(file, name): a file is called as it is, one of a folder by its path within."""
    for path in paths:
        if path.is_dir():
            for found in sorted(path.rglob("*")):
                if found.suffix.lower() in KINDS and found.is_file():
                    yield found, found.relative_to(path).as_posix()
        else:
            yield path, path.name


async def _read(path: Path) -> AsyncIterator[bytes]:
    try:
        with path.open("rb") as file:
            while data := file.read(_PIECE):
                yield data
    except OSError as error:
        raise Problem(f"{path} cannot be read: {error.strerror}") from None


def _whose(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tenant", default="", metavar="NAME", help="whose documents (default: no tenant's)")
    parser.add_argument(
        "--tag", action="append", default=[], help="with this tag; may be given several times"
    )


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("paths", nargs="+", type=Path, metavar="FILE|FOLDER", help="documents, or folders")
    parser.add_argument("--title", default="", help="the document's title (default: its own)")
    _whose(parser)


def _search(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("question", metavar="WORDS", help="what to look for")
    parser.add_argument("--most", type=int, default=5, metavar="N", help="passages at most (default 5)")
    _whose(parser)


def _ask(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("question", metavar="QUESTION", help="what to ask")
    _whose(parser)


def _erase(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("tenant", metavar="TENANT", help="the tenant; '' for documents of no tenant")
