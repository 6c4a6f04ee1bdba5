"""Answers to questions that mean the same as one that was answered, where the settings ask for it."""

import random

from holdfast.rooms.llm.engine.semantic import SemanticStore
from holdfast.rooms.llm.rules.asking import Body, Request
from holdfast.rooms.llm.rules.keys import request_key
from holdfast.rooms.llm.rules.settings import SemanticSettings


class Meaning:
    """What was asked, by all that must be equal (tenant, template, model, history, sampling) and by meaning."""

    def __init__(self, settings: SemanticSettings, rng: random.Random) -> None:
        self.store = SemanticStore(
            settings.most_entries, settings.most_bytes, settings.threshold, settings.sample, rng
        )

    def find(self, request: Request, key: str) -> str:
        """The key of the answer to a question that means the same; empty when there is none."""
        asked = _last_question(request.body)
        if asked is None:
            return ""
        hit = self.store.find(_scope(request), asked)
        return "" if hit is None else hit.key

    def add(self, request: Request, key: str) -> None:
        """This question was answered under `key`."""
        asked = _last_question(request.body)
        if asked is not None:
            self.store.add(_scope(request), asked, key)


def _last_question(body: Body) -> str | None:
    """The text of the last message, where that is a user's and nothing but text."""
    last = body["messages"][-1]
    content = last.get("content")
    return content if last.get("role") == "user" and isinstance(content, str) else None


def _scope(request: Request) -> str:
    """All of the request but its last question, as one key."""
    before = {**request.body, "model": request.model, "messages": request.body["messages"][:-1]}
    return request_key(before, request.payer.tenant, request.template)
