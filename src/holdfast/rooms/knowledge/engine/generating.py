"""Writing a report or a script from documents, as a job: section by section, each with checked citations."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import msgspec

from holdfast.ports.jobs import Enqueue, Enqueued, JobFailed, Jobs, JobSpec, JobView, Run
from holdfast.ports.model import Ask
from holdfast.rooms.knowledge.engine.answering import Answering, given, passages, turns
from holdfast.rooms.knowledge.engine.views import cite
from holdfast.rooms.knowledge.rules import prompts
from holdfast.rooms.knowledge.rules.answers import CitationShown, SectionShown, WrittenShown
from holdfast.rooms.knowledge.rules.citations import Cited, Resolved
from holdfast.rooms.knowledge.rules.problems import BadTemplate, UnknownJob, check_topic
from holdfast.rooms.knowledge.rules.settings import Config
from holdfast.rooms.knowledge.rules.stored import Filter, Found
from holdfast.rooms.knowledge.rules.templates import (
    SectionPlan,
    Template,
    as_markdown,
    check_filled,
    chosen,
    filled,
    query_of,
)
from holdfast.rooms.knowledge.store.proof import Claim, Proof

GENERATE = "knowledge.generate"
QUEUE = "ai"
_SUM_UP = {
    "en": "{prompt} Sum up what the passages say about it: give a summary.",
    "ko": "{prompt} 구절에 있는 내용을 요약해 쓰십시오.",
}
"""What a model is asked that only quotes and has found no sentence for the section's prompt."""
_SILENT = {
    "en": "The documents say nothing about this.",
    "ko": "문서에는 이에 관한 내용이 없습니다.",
}


class Generate(msgspec.Struct, frozen=True, kw_only=True):
    """The payload: what is to be written, for whom, from which documents."""

    topic: str
    template: Template
    language: str
    tenant: str = ""
    user: str = ""
    model: str = ""
    tags: tuple[str, ...] = ()
    documents: tuple[str, ...] = ()


class Written(msgspec.Struct, frozen=True):
    """One section as its step left it: `resolved` numbers `citations`; none when it was refused."""

    heading: str
    resolved: Resolved
    citations: tuple[CitationShown, ...]
    claims: tuple[Claim, ...]
    generated_by: str = ""


class Generating:
    """The jobs that write."""

    def __init__(self, answering: Answering, proof: Proof, jobs: Jobs, config: Config) -> None:
        self._answering = answering
        self._proof = proof
        self._jobs = jobs
        self._config = config

    def spec(self) -> JobSpec:
        return JobSpec(
            name=GENERATE, run=self.run, payload=Generate, queue=QUEUE, timeout_s=self._config.generate_s
        )

    async def start(
        self,
        tenant: str,
        user: str,
        topic: str,
        *,
        template: str = "report",
        sections: Sequence[SectionPlan] = (),
        title: str = "",
        language: str = "",
        model: str = "",
        tags: tuple[str, ...] = (),
        documents: tuple[str, ...] = (),
    ) -> Enqueued:
        """Enqueue it. Raises BadQuestion and BadTemplate (422)."""
        topic = check_topic(topic)
        spoken = language or prompts.language(topic)
        own = _own(title or "{topic}", sections) if sections else None
        payload = Generate(
            topic=topic,
            template=check_filled(chosen(template, own, spoken), topic),
            language=spoken,
            tenant=tenant,
            user=user,
            model=model,
            tags=tags,
            documents=documents,
        )
        return await self._jobs.enqueue(GENERATE, payload, Enqueue(tenant=tenant, user=user))

    async def find(self, tenant: str, job_id: str, names: Sequence[str]) -> JobView:
        """A job of this room and tenant. Raises UnknownJob (404)."""
        view = await self._jobs.find(job_id) if job_id.isascii() and len(job_id) <= 128 else None
        if view is None or view.tenant != tenant or view.name not in names:
            raise UnknownJob("no such job", hint="jobs are forgotten some time after they have ended")
        return view

    async def run(self, run: Run, payload: Generate) -> dict[str, Any]:
        """One attempt; a section that an earlier one has written is not written again."""
        plans = payload.template.sections
        done: list[Written] = []
        for number, plan in enumerate(plans, 1):
            run.check()
            heading = filled(plan.heading, payload.topic)
            run.progress((number - 1) / len(plans), heading)
            used = {claim for written in done for claim in written.claims}
            work = partial(self._section, payload, plan, heading, used)
            done.append(await run.step(f"section {number}", work, Written))
        if not any(written.claims for written in done):
            raise JobFailed("not_found", "no document says anything about this topic")
        shown = await self._whole(payload, done)
        return dict(msgspec.to_builtins(shown))

    async def _section(self, payload: Generate, plan: SectionPlan, heading: str, used: set[Claim]) -> Written:
        where = Filter(payload.tenant, payload.tags, payload.documents)
        found = await self._answering.search(
            query_of(plan, payload.topic)[:4_000], where, self._config.passages
        )
        if not found:
            return Written(heading, Resolved((), ()), (), ())
        prompt = filled(plan.prompt, payload.topic)
        reply, resolved = await self._answering.resolved(self._ask(payload, prompt, found), found)
        if resolved.verbatim and not resolved.cited:
            prompt = _SUM_UP[payload.language].format(prompt=prompt)
            reply, resolved = await self._answering.resolved(self._ask(payload, prompt, found), found)
        if resolved.verbatim:  # nothing is quoted twice in one text
            resolved = resolved.kept(lambda one: _claim(found, one) not in used)
        await self._answering.places.know(one.version for one in found)
        return Written(
            heading,
            resolved if resolved.cited else Resolved((), ()),
            tuple(cite(n, one, found, self._answering.places) for n, one in enumerate(resolved.cited, 1)),
            tuple(_claim(found, one) for one in resolved.cited),
            reply.generated_by,
        )

    def _ask(self, payload: Generate, task: str, found: Sequence[Found]) -> Ask:
        return Ask(
            messages=turns(prompts.write_turns(task, given(found), payload.language)),
            passages=passages(found),
            model=payload.model or self._config.model,
            purpose="generate",
            template=prompts.WRITE_TEMPLATE,
            tenant=payload.tenant,
            user=payload.user,
            max_tokens=self._config.max_answer_tokens,
            total_s=self._config.answer_s,
        )

    async def _whole(self, payload: Generate, done: Sequence[Written]) -> WrittenShown:
        """All sections, with what still holds now, numbered through."""
        claims = [claim for written in done for claim in written.claims]
        holds = dict(zip(claims, await self._proof.holds(payload.tenant, claims), strict=True))
        sections: list[SectionShown] = []
        citations: list[CitationShown] = []
        for written in done:
            standing = {
                one for one, claim in zip(written.resolved.cited, written.claims, strict=True) if holds[claim]
            }
            kept = written.resolved.kept(standing.__contains__)
            shown = [
                citation
                for citation, claim in zip(written.citations, written.claims, strict=True)
                if holds[claim]
            ]
            text = kept.text(after=len(citations)) if kept.cited else _SILENT[payload.language]
            sections.append(SectionShown(heading=written.heading, text=text, refused=not kept.cited))
            citations += [
                msgspec.structs.replace(citation, number=number)
                for number, citation in enumerate(shown, len(citations) + 1)
            ]
        title = filled(payload.template.title, payload.topic)
        return WrittenShown(
            title=title,
            topic=payload.topic,
            sections=tuple(sections),
            citations=tuple(citations),
            markdown=as_markdown(
                title, [(one.heading, one.text) for one in sections], [_source(one) for one in citations]
            ),
            generated_by=next((written.generated_by for written in done if written.generated_by), ""),
        )


def _own(title: str, sections: Sequence[SectionPlan]) -> Template:
    try:
        return msgspec.convert({"title": title, "sections": msgspec.to_builtins(sections)}, Template)
    except msgspec.ValidationError as error:
        raise BadTemplate(
            str(error), hint="send 1 to 24 sections, each with a heading and a prompt"
        ) from None


def _claim(found: Sequence[Found], one: Cited) -> Claim:
    passage = found[one.source]
    return Claim(passage.version, passage.start + one.start, passage.start + one.end, one.quote)


def _source(citation: CitationShown) -> str:
    page = f", p. {citation.page}" if citation.page else ""
    return f"{citation.title or citation.name}{page}: “{citation.quote}”"
