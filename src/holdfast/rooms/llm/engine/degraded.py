"""What is said when nobody can answer, for models that are to say something all the same."""

from holdfast.kernel.clock import Clock
from holdfast.kernel.ids import IdSource
from holdfast.rooms.llm.providers.provider import Provider
from holdfast.rooms.llm.rules.asking import Answered, Request, text_answer
from holdfast.rooms.llm.rules.failures import ProviderFailed
from holdfast.rooms.llm.rules.settings import EXTRACTIVE


class Degraded:
    """Stand-in answers: quotes from what was given, or a text of the service's own. Always marked."""

    def __init__(self, extractive: Provider, clock: Clock, ids: IdSource) -> None:
        self._extractive = extractive
        self._clock = clock
        self._ids = ids

    async def answer(self, request: Request, how: str) -> Answered | None:
        """`how` as in the setting `degraded`; None where there is nothing to say."""
        if not how:
            return None
        if how == EXTRACTIVE:
            try:
                body = await self._extractive.chat({**request.body, "model": request.model}, "")
            except ProviderFailed:
                return None
        else:
            made = f"chatcmpl-{self._ids.trace_id()}"
            body = text_answer(how, request.model, id=made, created=int(self._clock.wall()))
        return Answered(
            source="degraded", provider=EXTRACTIVE, model=request.model, body={**body, "degraded": True}
        )
