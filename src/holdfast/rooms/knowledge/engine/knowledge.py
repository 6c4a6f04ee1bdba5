"""`Knowledge`: documents in, cited answers out. The object that users hold."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from pathlib import Path

from holdfast.kernel.clock import Clock
from holdfast.ports.jobs import Jobs
from holdfast.ports.model import Model
from holdfast.ports.services import Meter
from holdfast.ports.storage import Sql
from holdfast.rooms.knowledge.engine.answering import Answer, Answering, Question, Said
from holdfast.rooms.knowledge.engine.documents import Documents, Taken
from holdfast.rooms.knowledge.engine.figures import Figures
from holdfast.rooms.knowledge.engine.generating import Generating
from holdfast.rooms.knowledge.engine.ingesting import Embeds, Ingesting
from holdfast.rooms.knowledge.engine.legs import legs_of
from holdfast.rooms.knowledge.engine.parsing import Parsers
from holdfast.rooms.knowledge.engine.places import Places
from holdfast.rooms.knowledge.engine.receiving import Described
from holdfast.rooms.knowledge.engine.spooling import Spool
from holdfast.rooms.knowledge.engine.views import answer_shown, passage_shown
from holdfast.rooms.knowledge.rules.answers import AnswerShown, PassageShown
from holdfast.rooms.knowledge.rules.settings import Config
from holdfast.rooms.knowledge.rules.stored import Filter
from holdfast.rooms.knowledge.store.proof import Proof
from holdfast.rooms.knowledge.store.store import Store
from holdfast.rooms.knowledge.store.sweeping import Sweeper
from holdfast.rooms.knowledge.store.waiting import Waiting


class Knowledge:
    """Documents of tenants and answers from them. Without a tenant everything is of the tenant "".

    `embeds` gives chunks their vectors instead of what the settings name.
    """

    def __init__(
        self,
        config: Config,
        *,
        sql: Sql,
        model: Model,
        jobs: Jobs,
        clock: Clock,
        meter: Meter,
        data_dir: Path,
        secret: Callable[[], str],
        embeds: Embeds | None = None,
    ) -> None:
        self.config = config
        self.jobs = jobs
        self.store = Store(sql)
        self._folder = data_dir / "knowledge"
        self.figures = Figures(meter, lambda: self.answering.running)
        self.parsers = Parsers(config.parsers)
        proof = Proof(sql)
        self.legs = legs_of(config, sql, self.store, model, clock)
        self.places = Places(self.store)
        ingesting = Ingesting(
            self.store,
            self.parsers,
            embeds or self.legs.embeds,
            limits=config.limits,
            chunking=config.chunking,
            clock=clock,
            figures=self.figures,
            timeout_s=config.ingest_s,
        )
        self.documents = Documents(
            self.store,
            Sweeper(sql, self.store.index),
            Waiting(sql),
            ingesting,
            jobs,
            clock=clock,
            figures=self.figures,
            secret=secret,
        )
        self.answering = Answering(
            self.legs.search,
            proof,
            self.places,
            config,
            model=model,
            clock=clock,
            figures=self.figures,
        )
        self.generating = Generating(self.answering, proof, jobs, config)
        for spec in (*ingesting.specs(), self.generating.spec()):
            jobs.declare(spec)

    def spool(self) -> Spool:
        """Where an upload is written while it comes."""
        return Spool(self._folder, self.config.max_upload_bytes)

    async def add(
        self,
        name: str,
        content: bytes | str | AsyncIterator[bytes],
        *,
        tenant: str = "",
        user: str = "",
        media_type: str = "",
        title: str = "",
        tags: Sequence[str] = (),
    ) -> Taken:
        """Take a document in; the job that reads it is in what this returns (`wait` waits for it).

        Raises UploadTooLarge (413), BadUpload (422).
        """
        if isinstance(content, str):
            media_type = media_type or "text/plain; charset=utf-8"
        async with self.spool() as spool:
            async for piece in _pieces(content):
                await spool.write(piece)
            told = Described(name, media_type, title, tuple(tags))
            return await self.documents.add(tenant, user, told, spool)

    async def wait(self, taken: Taken) -> str:
        """How the job of an upload ended: succeeded, failed, cancelled; `unchanged` where there was none."""
        if not taken.job_id:
            return "unchanged"
        last = ""
        async with contextlib.aclosing(self.jobs.events(taken.job_id)) as events:
            async for event in events:
                last = event.kind
        return last

    async def search(
        self, question: str, *, tenant: str = "", tags: Sequence[str] = (), most: int = 10
    ) -> list[PassageShown]:
        """The passages nearest to a question, best first."""
        found = await self.answering.search(question, Filter(tenant, tuple(tags)), most)
        await self.places.know(one.version for one in found)
        return [passage_shown(one, self.places) for one in found]

    async def ask(
        self,
        question: str,
        *,
        tenant: str = "",
        user: str = "",
        tags: Sequence[str] = (),
        model: str = "",
    ) -> AnswerShown:
        """An answer with checked citations, or a refusal."""
        where = Filter(tenant, tuple(tags))
        return await self.ask_as(Question(text=question, where=where, user=user, model=model))

    async def ask_as(self, question: Question) -> AnswerShown:
        answer = await self.answering.ask(question)
        await self.places.know(one.version for one in answer.found)
        return answer_shown(answer, self.places)

    async def asked(self, question: Question) -> AsyncGenerator[Said, None]:
        """The same as it comes; the last is the Answer, and what `places` knows is enough to show it."""
        async with contextlib.aclosing(self.answering.stream(question)) as stream:
            async for said in stream:
                if isinstance(said, Answer):
                    await self.places.know(one.version for one in said.found)
                yield said

    async def erase(self, tenant: str) -> int:
        """Remove everything of a tenant; how many documents it had."""
        return await self.documents.erase(tenant)

    async def sweep(self) -> None:
        """Heal what was left half-way, remove what is retired."""
        await self.documents.sweep()

    async def stop(self) -> None:
        await self.parsers.stop()


async def _pieces(content: bytes | str | AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    if isinstance(content, str):
        content = content.encode()
    if isinstance(content, bytes):
        view = memoryview(content)
        for at in range(0, len(view), 1 << 20):
            yield bytes(view[at : at + (1 << 20)])
            await asyncio.sleep(0)
        return
    async for piece in content:
        yield piece
