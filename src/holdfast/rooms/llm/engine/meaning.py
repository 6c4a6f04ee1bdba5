"""Answers to questions that mean the same as one that was answered, where the settings ask for it."""

import random
from collections import OrderedDict

from holdfast.ports.services import Meter
from holdfast.rooms.llm.engine.semantic import SemanticStore
from holdfast.rooms.llm.rules.asking import Body, Request, text_of
from holdfast.rooms.llm.rules.semantic import disagreement, facts, scope_and_question
from holdfast.rooms.llm.rules.settings import SemanticSettings

_MOST_SAMPLED = 1_000
"""Samples under way, at most. One whose request failed is never judged: the oldest makes room."""


class Meaning:
    """What was asked, by all that must be equal (tenant, template, model, history, sampling) and by meaning.

    A share of the hits is not used: the question is asked anew, and the two answers are compared.
    """

    def __init__(self, settings: SemanticSettings, meter: Meter, rng: random.Random) -> None:
        self.store = SemanticStore(
            settings.most_entries, settings.most_bytes, settings.threshold, settings.sample, rng
        )
        self._sampled: OrderedDict[str, str] = OrderedDict()
        meter.watch(
            "holdfast_llm_semantic_false_hits_ratio",
            "Of the semantic hits that were asked anew, the share whose answer was another.",
            lambda: self.store.false_hit_rate or 0.0,
        )

    def find(self, request: Request, key: str) -> str:
        """The key of the answer to a question that means the same; empty when there is none to be used."""
        asked = _scope_and_question(request)
        hit = None if asked is None else self.store.find(*asked)
        if hit is None or hit.key == key:
            return ""
        if self.store.should_sample():
            self._sampled[key] = hit.key
            self._sampled.move_to_end(key)
            if len(self._sampled) > _MOST_SAMPLED:
                self._sampled.popitem(last=False)
            return ""
        return hit.key

    def add(self, request: Request, key: str) -> str:
        """This question was answered under `key`; the key of the answer to compare it with, for a sample."""
        asked = _scope_and_question(request)
        other = self._sampled.pop(key, "")
        if asked is not None and not other:
            self.store.add(*asked, key)
        return other

    def judge(self, other: str, answer: Body, known: Body) -> None:
        """A sampled hit against a new answer: they must not contradict each other."""
        is_false = bool(disagreement(facts(text_of(answer)), facts(text_of(known))))
        self.store.judged(is_false)
        if is_false:
            self.store.evict(other)


def _scope_and_question(request: Request) -> tuple[str, str] | None:
    """What must be equal, and what may be said otherwise; None where no other answer may serve."""
    body = {**request.body, "model": request.model}
    return scope_and_question(body, request.payer.tenant, request.template)
