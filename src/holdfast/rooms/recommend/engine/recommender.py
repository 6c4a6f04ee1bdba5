"""The four answers: personalised, similar, trending, explained. Each ends at the gate."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from holdfast.kernel.clock import Clock
from holdfast.kernel.context import note
from holdfast.kernel.ids import IdSource
from holdfast.ports.telling import Telling
from holdfast.rooms.recommend.engine.explaining import explain
from holdfast.rooms.recommend.engine.exploring import Exploring
from holdfast.rooms.recommend.engine.keeper import Keeper
from holdfast.rooms.recommend.engine.knowledge import Knowledge, padded
from holdfast.rooms.recommend.engine.people import People, Person, Situation
from holdfast.rooms.recommend.engine.release import Release
from holdfast.rooms.recommend.engine.repeating import Repeating
from holdfast.rooms.recommend.engine.scoring import Pick, Scored, Taste, Wish, blend, rank, score
from holdfast.rooms.recommend.engine.shown import ShownLog
from holdfast.rooms.recommend.models.collaborative import Sketch
from holdfast.rooms.recommend.rules.answers import Explained, Listed, Part, Personalized, Shown
from holdfast.rooms.recommend.rules.blend import SOURCES, weights_by_evidence
from holdfast.rooms.recommend.rules.eligibility import Gate
from holdfast.rooms.recommend.rules.explore import slots_of
from holdfast.rooms.recommend.rules.problems import unknown_item
from holdfast.rooms.recommend.rules.settings import Config

T = TypeVar("T")

SHOWN = "recommend_shown"
"""The action of the product event of each answer; its `value` is the number of items."""
NAMED_REASONS = 3
"""History items that each source names in a list; an explanation of one item names all."""


class Ask(msgspec.Struct, frozen=True):
    """One wish for recommendations, already checked."""

    user_id: str
    limit: int
    interests: tuple[str, ...] | None = None
    """None: those the user declared earlier."""
    segment: str | None = None
    exclude: tuple[str, ...] = ()
    diversity: float | None = None
    weights: Mapping[str, float] | None = None
    explain: bool = False
    variant: str = ""
    """Which arm of the release answers, set by the recommender: arms never share an answer."""


class Recommender:
    """Answers from what the keeper holds and what SQL says about the person, in one pass."""

    def __init__(
        self,
        config: Config,
        *,
        keeper: Keeper,
        people: People,
        shown: ShownLog,
        clock: Clock,
        ids: IdSource,
        uniform: Callable[[], float],
        repeating: Repeating,
        release: Release,
        telling: Telling,
    ) -> None:
        self._config = config
        self._repeating = repeating
        self._release = release
        self._telling = telling
        self._keeper = keeper
        self._people = people
        self._shown = shown
        self._clock = clock
        self._ids = ids
        self._uniform = uniform
        self._exploring = Exploring()
        self._threads = ThreadPoolExecutor(2, "holdfast-recommend")

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def personalized(self, ask: Ask) -> Personalized:
        """Recommendations for one user; a user nobody knows gets persona, content and popularity.

        The answer given last is given again while nothing it was made of has changed and each of its items
        may still be shown. Which variant's settings it is made with is asked here: the user's exposure.
        """
        variant, arm = self._release.arm(ask.user_id)
        if variant:
            ask = msgspec.structs.replace(ask, variant=variant)
        situation = await self._situation(ask.user_id)
        person, keeper, repeating = situation.person, self._keeper, self._repeating
        said, key = "off", ""
        if repeating.is_on and keeper.is_settled:
            key = repeating.key(ask, situation.revision, keeper.catalogue.version, keeper.knowledge.version)
            answer, said = await repeating.answer(key, ask.user_id, lambda: self._make(ask, person, arm))
            gate, through = self._let_through(ask, person, answer)
            if len(through) < len(answer.items) or (said == "hit" and self._is_worn(ask, answer, gate)):
                said = "void"
        if said in ("off", "void"):
            answer = await self._make(ask, person, arm)
            if said == "void":
                await repeating.keep(key, ask.user_id, answer)
            # Computing left the loop for a moment: what was bought, hidden or sold out meanwhile falls out.
            _, through = self._let_through(ask, person, answer)
        if len(through) != len(answer.items):
            answer = msgspec.structs.replace(answer, items=[shown for _, shown in through])
        picks = [Pick(item, one.score, 0.0, one.propensity, one.explored) for item, one in through]
        self._shown.note(answer.answer_id, ask.user_id, picks, self._now_ms())
        _note(answer, said)
        self._telling.tell(SHOWN, ask.user_id, answer_id=answer.answer_id, value=len(answer.items))
        return answer

    async def _make(self, ask: Ask, person: Person, arm: Config) -> Personalized:
        """The answer as of now. May run apart from the request that asked, so it notes nothing."""
        now_ms = self._now_ms()
        taste = _taste(arm, person, ask.interests, ask.segment)
        gate = self._gate(person, ask.exclude, now_ms)
        knowledge, exposure = self._keeper.knowledge, self._shown.exposure
        wish, chance = self._wish(ask, arm, knowledge, gate)

        def work() -> tuple[Scored, list[Pick], list[list[Part]]]:
            scored = score(knowledge, taste, gate.allowed, wish)
            choice = int(np.count_nonzero(gate.allowed))
            worn = exposure.worn(ask.user_id, scored.items, wish.limit, choice)
            picks = [_with_chance(pick, chance) for pick in rank(knowledge, scored, gate.allowed, worn, wish)]
            if not ask.explain:
                return scored, picks, [[] for _ in picks]
            return scored, picks, explain(knowledge, taste, scored, picks, self._id_of, NAMED_REASONS)

        scored, picks, parts = await self._compute(work)
        return Personalized(
            answer_id=self._ids.sortable(now_ms / 1000),
            user_id=ask.user_id,
            model=knowledge.model_name,
            events=int(taste.history.size),
            weights=dict(scored.weights),
            items=[self._show(pick, why) for pick, why in zip(picks, parts, strict=True)],
        )

    def _let_through(
        self, ask: Ask, person: Person, answer: Personalized
    ) -> tuple[Gate, list[tuple[int, Shown]]]:
        """The gate of this moment, and what of the answer passes it, with the items' numbers."""
        numbers = self._keeper.catalogue.number
        gate = self._gate(person, ask.exclude, self._now_ms())
        return gate, gate.let_through((numbers.get(shown.item_id, -1), shown) for shown in answer.items)

    def _is_worn(self, ask: Ask, answer: Personalized, gate: Gate) -> bool:
        """Whether an answer made elsewhere would show what this process has shown to too many."""
        if self._shown.knows(answer.answer_id):
            return False
        numbers = self._keeper.catalogue.number
        items = np.asarray([numbers[shown.item_id] for shown in answer.items if not shown.explored], np.int64)
        choice = int(np.count_nonzero(gate.allowed))
        return bool(self._shown.exposure.worn(ask.user_id, items, ask.limit, choice).any())

    async def similar(self, item_id: str, limit: int, user_id: str, *, reasons: bool) -> Listed:
        """Items like this one by who takes both and by what they say; never what `user_id` has seen."""
        person = await self._person(user_id)
        item = self._number(item_id)
        knowledge, now_ms = self._keeper.knowledge, self._now_ms()
        gate = self._gate(person, (item_id,), now_ms)
        scored = await self._compute(lambda: self._alike(knowledge, item, gate.allowed, limit))
        picks = [
            Pick(int(scored.items[place]), float(scored.blended[place]))
            for place in np.argsort(-scored.blended, kind="stable")
        ]
        through = self._gate(person, (item_id,), self._now_ms()).let_through((p.item, p) for p in picks)[
            :limit
        ]
        note(recommend_similar=item_id, recommend_count=len(through))
        return Listed(
            knowledge.model_name,
            [self._show(pick, _by_source(scored, pick.item) if reasons else []) for _, pick in through],
        )

    async def trending(self, limit: int, user_id: str) -> Listed:
        """What is taken most lately; never what `user_id` has seen."""
        person = await self._person(user_id)
        counts = self._keeper.knowledge.counts
        gate = self._gate(person, (), self._now_ms())
        ordered = counts.trending_first[counts.trending_first < gate.allowed.size]
        chosen = ordered[gate.allowed[ordered]][:limit]
        values = counts.trending[chosen]
        picks = [Pick(int(item), float(value)) for item, value in zip(chosen, values, strict=True)]
        through = gate.let_through((pick.item, pick) for pick in picks)
        note(recommend_trending=len(through))
        return Listed("trending", [self._show(pick, []) for _, pick in through])

    async def explain(self, user_id: str, item_id: str) -> Explained:
        """Every part of the score that the item has for the user now, and whether it may be shown."""
        person = await self._person(user_id)
        item, now_ms = self._number(item_id), self._now_ms()
        knowledge = self._keeper.knowledge
        _, arm = self._release.arm(user_id)
        taste = _taste(arm, person, None, None)
        gate = self._gate(person, (), now_ms)
        wish = Wish(1, 0.0, arm.evidence_k, arm.priors(), sources=arm.sources, include=(item,))

        def work() -> tuple[Scored, Pick, list[Part]]:
            scored = score(knowledge, taste, gate.allowed, wish)
            pick = Pick(item, scored.score_of(item))
            return scored, pick, explain(knowledge, taste, scored, [pick], self._id_of, None)[0]

        scored, pick, parts = await self._compute(work)
        reasons = ["seen"] if person.has_seen(item) else []
        reasons += ["hidden by the user"] if item in person.hidden else []
        reasons += self._keeper.catalogue.why_not(item, now_ms)
        return Explained(
            user_id=user_id,
            item_id=item_id,
            name=self._keeper.catalogue.names[item],
            score=pick.score,
            parts=parts,
            weights=dict(scored.weights),
            eligible=gate.lets(item),
            why_not=reasons,
        )

    async def _situation(self, user_id: str) -> Situation:
        """Everything as of now, after the catalogue has caught up with the database."""
        situation = await self._people.situation(user_id)
        await self._keeper.follow(situation)
        return situation

    async def _person(self, user_id: str) -> Person:
        return (await self._situation(user_id)).person

    def _gate(self, person: Person, exclude: Sequence[str], now_ms: int) -> Gate:
        catalogue = self._keeper.catalogue
        numbers = [catalogue.number[item_id] for item_id in exclude if item_id in catalogue.number]
        return Gate(catalogue.available(now_ms), person.seen, numbers)

    def _wish(self, ask: Ask, arm: Config, knowledge: Knowledge, gate: Gate) -> tuple[Wish, float]:
        """What is wanted, its exploration already drawn, and the probability of that having a slot."""
        slots, chance = slots_of(ask.limit, arm.explore_slots, arm.explore_single, self._uniform())
        draws = tuple(self._uniform() for _ in range(slots))
        wish = Wish(
            limit=ask.limit,
            diversity=arm.diversity if ask.diversity is None else ask.diversity,
            evidence_k=arm.evidence_k,
            priors=arm.priors(),
            sources=arm.sources,
            weights=ask.weights,
            explored=self._exploring.draw(knowledge.counts, gate, draws),
        )
        return wish, chance

    def _alike(self, knowledge: Knowledge, item: int, allowed: NDArray[np.bool_], limit: int) -> Scored:
        columns = {"popularity": Sketch(padded(knowledge.counts.popularity, allowed.size))}
        taken = float(knowledge.counts.ever[item]) if item < knowledge.counts.ever.size else 0.0
        model = knowledge.model
        if model is not None and item < model.n_items and taken > 0:
            columns["collaborative"] = Sketch(padded(model.similar(item), allowed.size))
        if item < knowledge.content.n_items and knowledge.any_text:
            columns["content"] = Sketch(padded(knowledge.content.similar(item), allowed.size))
        # Popularity only parts equals: in a list of likeness it must not outweigh a likeness.
        priors = {"content": 0.95, "popularity": 0.05}
        weights = weights_by_evidence(
            int(taken), self._config.evidence_k, priors, dict.fromkeys(columns, True)
        )
        return blend(knowledge, columns, weights, allowed, limit=limit)

    async def _compute(self, work: Callable[[], T]) -> T:
        """Numbers of a small catalogue cost less than a thread's hand-over."""
        if len(self._keeper.catalogue) <= self._config.inline_items:
            return work()
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def _number(self, item_id: str) -> int:
        number = self._keeper.catalogue.number.get(item_id)
        if number is None:
            raise unknown_item(item_id)
        return number

    def _id_of(self, item: int) -> str:
        return self._keeper.catalogue.ids[item]

    def _show(self, pick: Pick, parts: list[Part]) -> Shown:
        catalogue = self._keeper.catalogue
        return Shown(
            item_id=catalogue.ids[pick.item],
            name=catalogue.names[pick.item],
            score=pick.score,
            explored=pick.explored,
            propensity=pick.propensity,
            parts=parts,
        )

    def _now_ms(self) -> int:
        return int(self._clock.wall() * 1000)


def _taste(arm: Config, person: Person, interests: tuple[str, ...] | None, segment: str | None) -> Taste:
    history, weights = person.history(arm.max_history)
    return Taste(
        history,
        weights,
        person.interests if interests is None else interests,
        person.segment if segment is None else segment,
    )


def _note(answer: Personalized, said: str) -> None:
    note(
        recommend_answer=answer.answer_id,
        recommend_model=answer.model,
        recommend_shown=[shown.item_id for shown in answer.items],
        recommend_explored={shown.item_id: shown.propensity for shown in answer.items if shown.explored},
        recommend_cache=said,
    )


def _with_chance(pick: Pick, chance: float) -> Pick:
    return pick if chance == 1.0 else pick._replace(propensity=pick.propensity * chance)


def _by_source(scored: Scored, item: int) -> list[Part]:
    place = int(np.searchsorted(scored.items, item))
    parts = []
    for source in SOURCES:
        scale, weight = scored.scales[source], scored.weights[source]
        raw = float(scored.raw[source][place]) if source in scored.raw and scale.factor else 0.0
        if weight > 0:
            parts.append(Part(source, "likeness", weight * float(scale.of(raw))))
    return parts
