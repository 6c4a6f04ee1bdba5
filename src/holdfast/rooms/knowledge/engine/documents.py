"""Documents of tenants: taken, shown, deleted, erased; and what was left half-way is set right."""

import logging
from collections.abc import AsyncIterator, Callable, Sequence

import msgspec

from holdfast.kernel.clock import Clock
from holdfast.ports.jobs import ENDS, Enqueue, Jobs, JobView
from holdfast.rooms.knowledge.engine.figures import Figures
from holdfast.rooms.knowledge.engine.ingesting import INGEST, Ingest, Ingesting, told_media_type
from holdfast.rooms.knowledge.engine.receiving import Described
from holdfast.rooms.knowledge.engine.spooling import Spool
from holdfast.rooms.knowledge.rules.healing import ENQUEUE, FAIL, has_future, heal
from holdfast.rooms.knowledge.rules.problems import BadUpload, check_name, check_tags, unknown_document
from holdfast.rooms.knowledge.rules.stored import FAILED, PENDING, Document, Upload, Version
from holdfast.rooms.knowledge.store.store import PART, Store
from holdfast.rooms.knowledge.store.sweeping import Sweeper
from holdfast.rooms.knowledge.store.waiting import Waiter, Waiting

logger = logging.getLogger("holdfast.knowledge")


class Taken(msgspec.Struct, frozen=True):
    """What became of an upload. `unchanged`: the same content is there, or on its way, so nothing is done."""

    document_id: str
    version: int
    job_id: str = ""
    unchanged: bool = False


class Documents:
    """What callers do with documents. Every method is told the tenant, and sees nothing of another's."""

    def __init__(
        self,
        store: Store,
        sweeper: Sweeper,
        waiting: Waiting,
        ingesting: Ingesting,
        jobs: Jobs,
        *,
        clock: Clock,
        figures: Figures,
        secret: Callable[[], str],
    ) -> None:
        self.store = store
        self._sweeper = sweeper
        self._waiting = waiting
        self._ingesting = ingesting
        self._jobs = jobs
        self._clock = clock
        self._figures = figures
        self._secret = secret

    def now_ms(self) -> int:
        return int(self._clock.wall() * 1000)

    async def add(self, tenant: str, user: str, told: Described, spool: Spool) -> Taken:
        """Take what is in `spool` as the newest version of the document of this name.

        The same bytes, read, cut and embedded in the same way, are not done again. The version before it
        serves until this one does. Raises BadUpload (422).
        """
        name, tags = check_name(told.name), check_tags(told.tags)
        title = " ".join(told.title.split())[:512]
        if not spool.size:
            raise BadUpload("the file is empty", hint="send the document as the body")
        parts = spool.parts()
        first = await anext(parts)  # with it everything is written, and the digest is that of all
        known = await self._same(tenant, name, spool.digest, told.media_type)
        job_id = ""
        if known is not None and known.state == PENDING:
            # Before it is said to be on its way: what waits for nobody would be lost with this answer.
            job_id = await self._waited_for(known, user, name)
            known = known if job_id else None
        if known is not None:
            await parts.aclose()
            await self._describe(tenant, known.document_id, title, tags)
            self._figures.documents.labels("unchanged").add()
            return Taken(known.document_id, known.n, job_id, unchanged=True)
        version = await self.store.add_version(
            Upload(
                tenant=tenant,
                name=name,
                document_id=self._secret(),
                title=title,
                tags=tags,
                content_hash=spool.digest,
                chunker=self._ingesting.chunker,
                embedder=self._ingesting.embedder,
                media_type=told.media_type,
                size_bytes=spool.size,
            ),
            self.now_ms(),
        )
        if version.n > 1:
            await self._describe(tenant, version.document_id, title, tags)
        await self._put(version, first, parts)
        self._figures.upload_bytes.add(spool.size)
        job_id = await self._enqueue(version.no, tenant, user, name)
        return Taken(version.document_id, version.n, job_id)

    async def show(self, tenant: str, document_id: str) -> tuple[Document, list[Version]]:
        """The document with its versions, oldest first. Raises UnknownDocument (404)."""
        document = await self.store.document(tenant, document_id) if _is_id(document_id) else None
        if document is None or document.state == "deleting":
            raise unknown_document()
        return document, await self.store.versions(document_id)

    async def text(self, tenant: str, document_id: str, n: int, start: int, end: int | None) -> str:
        """`[start:end]` of the text that citations of version `n` refer to; 0 is the version that serves.

        Raises UnknownDocument (404), also for a version that is not kept any more, has not been read yet, or
        has failed.
        """
        document, versions = await self.show(tenant, document_id)
        for version in versions:
            if version.n == n or (n == 0 and version.no == document.serving):
                if version.state in (PENDING, FAILED):
                    break
                return await self.store.text(version.no, start, end)
        raise unknown_document()

    async def listed(self, tenant: str, tag: str, after: str, most: int) -> Sequence[Document]:
        return await self.store.documents(tenant, tag=tag, after=after, most=most)

    async def delete(self, tenant: str, document_id: str) -> None:
        """Nothing of it is found from now on, and the job that works on it ends. Raises UnknownDocument."""
        jobs = await self._waiting.jobs(tenant, document_id) if _is_id(document_id) else []
        if not _is_id(document_id) or not await self._sweeper.delete(tenant, document_id, self.now_ms()):
            raise unknown_document()
        await self._cancel(jobs, "the document was deleted")
        await self._swept(tenant)

    async def erase(self, tenant: str) -> int:
        """Remove everything of a tenant, from the database too; how many documents it had.

        Its jobs go too, whoever began them: what they were given and what they wrote is the tenant's.
        """
        jobs = await self._waiting.jobs(tenant)
        count = await self._sweeper.erase(tenant, self.now_ms())
        await self._cancel(jobs, "the tenant was erased")
        await self._jobs.erase(tenant)
        await self._swept(tenant)  # what a job wrote between our look and its end
        return count

    async def job_of(self, version: Version) -> JobView | None:
        """The job that makes a pending version, where somebody knows it."""
        return await self._jobs.find(version.job_id) if version.job_id and version.state == PENDING else None

    async def sweep(self) -> None:
        """Give uploads that wait for nobody a job, end what has no future, and remove what is retired."""
        after = 0
        while found := await self._waiting.pending(after):
            for waiter in found:
                await self._heal(waiter)
            after = found[-1].version
        while await self._sweeper.sweep(now_ms=self.now_ms()):
            pass

    async def _heal(self, waiter: Waiter) -> None:
        view = await self._jobs.find(waiter.job_id) if waiter.job_id else None
        state, error = (view.state, view.error) if view is not None else (None, "")
        decided = heal(waiter.is_whole, self.now_ms() - waiter.created_ms, state, error)
        if decided.what == ENQUEUE:
            version = await self.store.version(waiter.version)
            document = version and await self.store.document(version.tenant, version.document_id)
            if document:
                await self._enqueue(waiter.version, waiter.tenant, "", document.name)
                logger.warning("upload %d of %s had no job; it has one now", waiter.version, document.id)
        elif decided.what == FAIL and await self.store.fail(waiter.version, decided.reason, self.now_ms()):
            self._figures.documents.labels("failed").add()

    async def _enqueue(self, version: int, tenant: str, user: str, name: str) -> str:
        enqueued = await self._jobs.enqueue(
            INGEST, Ingest(version, tenant, name), Enqueue(tenant=tenant, user=user)
        )
        await self._waiting.name_job(version, enqueued.id)
        return enqueued.id

    async def _waited_for(self, version: Version, user: str, name: str) -> str:
        """The job that makes a pending version, one that it gets now included.

        Empty when nothing will come of it: then it has failed, and another one may take its place.
        """
        waiter = await self._waiting.one(version.no)
        view = await self._jobs.find(version.job_id) if version.job_id else None
        state = view.state if view is not None else None
        if waiter is None or not has_future(waiter.is_whole, state):
            if await self.store.fail(version.no, "another upload took its place", self.now_ms()):
                self._figures.documents.labels("failed").add()
            return ""
        if state is not None and state not in ENDS:
            return version.job_id
        return await self._enqueue(version.no, version.tenant, user, name)

    async def _same(self, tenant: str, name: str, digest: str, media_type: str) -> Version | None:
        """The version that serves this content already, or is about to; None when there is none."""
        document = await self.store.document_named(tenant, name)
        if document is None or document.state == "deleting":
            return None
        versions = await self.store.versions(document.id)
        for version in reversed(versions):
            if version.state == PENDING or version.no == document.serving:
                made_of = (version.content_hash, told_media_type(version), version.chunker, version.embedder)
                wanted = (digest, media_type, self._ingesting.chunker, self._ingesting.embedder)
                is_same = made_of == wanted
                return version if is_same else None
        return None

    async def _describe(self, tenant: str, document_id: str, title: str, tags: tuple[str, ...]) -> None:
        """Title and tags are the document's, not a version's: where they are given, they count at once."""
        document = await self.store.document(tenant, document_id)
        if document is not None and (title or tags):
            await self.store.describe(
                tenant, document_id, title or document.title, tags or document.tags, self.now_ms()
            )

    async def _put(self, version: Version, first: bytes, rest: AsyncIterator[bytes]) -> None:
        """The upload in rows of PART bytes."""
        held, part = first, 0
        async for data in rest:
            if len(held) + len(data) > PART:
                await self.store.put_upload(version.no, part, held)
                held, part = b"", part + 1
            held += data
        await self.store.put_upload(version.no, part, held)

    async def _cancel(self, jobs: Sequence[str], why: str) -> None:
        for job in jobs:
            await self._jobs.cancel(job, why)

    async def _swept(self, tenant: str) -> None:
        while await self._sweeper.sweep(tenant):
            pass


def _is_id(name: str) -> bool:
    """Whether it can be an id at all: what a database would refuse is simply not there."""
    return 0 < len(name) <= 128 and name.isascii() and name.isprintable()
