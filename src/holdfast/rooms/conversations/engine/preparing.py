"""Makes what the model is given: recalls what matters, composes the context, and words it for the port."""

from collections.abc import Sequence

import msgspec

from holdfast.kernel.clock import Clock
from holdfast.kernel.context import current_ctx
from holdfast.ports.model import Ask, Passage, Turn
from holdfast.rooms.conversations.engine.archive import Archive
from holdfast.rooms.conversations.engine.folding import Folding
from holdfast.rooms.conversations.rules.arms import Arm
from holdfast.rooms.conversations.rules.context import TEMPLATE, Context, Recalled, compose
from holdfast.rooms.conversations.rules.personas import Persona
from holdfast.rooms.conversations.rules.recall import asked, best, hits_in
from holdfast.rooms.conversations.rules.sentences import is_chatter, is_korean
from holdfast.rooms.conversations.rules.settings import Config
from holdfast.rooms.conversations.rules.state import WINDOW, State
from holdfast.rooms.conversations.rules.turns import exchanges
from holdfast.rooms.conversations.store.store import Kept, Store


class Prepared(msgspec.Struct, frozen=True, gc=False):
    """What one message comes to before a model sees it."""

    context: Context
    state: State
    language: str
    persona: Persona


class Preparing:
    """Everything that is read and decided between a message and its model."""

    def __init__(self, store: Store, folding: Folding, config: Config, clock: Clock) -> None:
        self._store = store
        self._folding = folding
        self._config = config
        self._clock = clock
        self.archive = Archive(store, config.recall_memory_chars)

    async def prepare(self, kept: Kept, arm: Arm, message: str, wanted: Sequence[str]) -> Prepared:
        """The context of `message`, whose terms are `wanted`, in this conversation as `arm` has it."""
        config, persona = arm.config, arm.voice(kept.persona)
        state = await self._folding.current(kept)
        fixed = kept.language or persona.language
        language = fixed or ("ko" if is_korean(message or " ".join(state.summary)) else "en")
        context = compose(
            voice=persona.voice(language),
            language=language,
            say_language=bool(fixed),
            state=state,
            window=exchanges(kept.messages),
            found=await self._recalled(config, kept, message, wanted),
            message=message,
            window_bytes=config.context_bytes,
            recall_bytes=config.recall_bytes,
        )
        return Prepared(context, state, language, persona)

    def ask(self, prepared: Prepared, kept: Kept) -> Ask:
        """The context as the port takes it, with the two clocks; a request's deadline may be tighter."""
        persona, total_s = prepared.persona, self._config.total_s
        ctx = current_ctx()
        left_s = ctx.remaining_s() if ctx is not None else None
        if left_s is not None:
            total_s = max(0.001, min(total_s, left_s))
        return Ask(
            messages=tuple(Turn(line.role, line.content) for line in prepared.context.messages),
            passages=tuple(
                Passage(source.id, source.text, source.title) for source in prepared.context.recalled
            ),
            model=persona.model,
            purpose="conversation",
            template=TEMPLATE,
            user=kept.owner,
            max_tokens=persona.max_tokens,
            temperature=persona.temperature,
            first_token_s=min(self._config.first_token_s, total_s),
            total_s=total_s,
        )

    async def _recalled(
        self, config: Config, kept: Kept, message: str, terms: Sequence[str]
    ) -> list[Recalled]:
        """Earlier messages that matter; of a short conversation without asking the database."""
        wanted = asked(terms)
        off = config.recall == "off" or not config.recall_messages or not kept.seq
        if off or not wanted or is_chatter(message):
            return []
        first = kept.seq - 2 * WINDOW + 1
        near = {one.seq: one for one in kept.messages if one.seq >= first and one.terms}
        hits = []
        if config.recall == "all":
            hits = hits_in(((one.seq, one.terms) for one in near.values()), wanted)
        if first > 1:
            hits += await self.archive.hits(kept, first, wanted)
        chosen = best(wanted, hits, of=kept.seq, most=config.recall_messages, at_least=config.recall_score)
        said = {one.seq: (one.role, one.text, one.at_ms) for one in near.values()}
        said.update(self.archive.texts(kept.id, [one.seq for one in chosen if one.seq not in said]))
        far = [one.seq for one in chosen if one.seq not in said]
        if far:
            # A character has a byte or more: what is cut off here there would be no room for.
            said.update(await self._store.texts(kept.id, far, config.recall_bytes))
        return [Recalled(one.seq, *said[one.seq], one.score) for one in chosen if one.seq in said]
