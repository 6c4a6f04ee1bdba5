"""The room's addresses: what is limited, why, and a way to give somebody a limit back."""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from holdfast.kernel.route import Answer, Call, Route
from holdfast.rooms.limits.engine.explaining import Asked, Explainer
from holdfast.rooms.limits.rules.explain import Explanation

NO_STORE = (("cache-control", "no-store"),)


class Explained(msgspec.Struct, frozen=True):
    """One explanation for each thing that the action is counted by."""

    limits: list[Explanation]


class ResetBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whose limits to give back."""

    identity: Annotated[str, Meta(min_length=1, description="as explain names it: user:7, ip:192.0.2.1")]
    action: Annotated[str, Meta(description="only this action; empty: all")] = ""


class Reset(msgspec.Struct, frozen=True):
    """What was given back."""

    identity: str
    limits: int
    """How many limits."""


class Overview(msgspec.Struct, frozen=True):
    """Everything that limits, as it stands now in this process."""

    policies: list[dict[str, Any]]
    zone: str
    hour_factor: float
    load: float
    counts: str
    """`local` or `shared`: where they are kept."""
    nodes: int
    table: dict[str, int]


class LimitsHttp:
    """Asks the explainer; every answer forbids storing it."""

    def __init__(self, explainer: Explainer) -> None:
        self._explainer = explainer

    async def overview(self, call: Call) -> Answer:
        """Policies, what they come to now by tier, the table, refusals."""
        return Answer(msgspec.convert(self._explainer.overview(), Overview), headers=NO_STORE)

    async def explain(self, call: Call) -> Answer:
        """How a limit comes about, and how things stand for the identity now."""
        asked: Asked = call.query
        return Answer(Explained(await self._explainer.explain(asked)), headers=NO_STORE)

    async def reset(self, call: Call) -> Answer:
        """Give an identity its whole limits back; where counts are local, in this process."""
        body: ResetBody = call.body
        touched = self._explainer.reset(body.identity, body.action)
        return Answer(Reset(body.identity, touched), headers=NO_STORE)


def routes(http: LimitsHttp) -> Sequence[Route]:
    """The room's addresses; all ask for the admin token outside development."""
    return (
        Route(
            "GET",
            "/admin/limits",
            http.overview,
            "What is limited, and what it comes to now.",
            answer=Overview,
            public=False,
        ),
        Route(
            "GET",
            "/admin/limits/explain",
            http.explain,
            "How one limit comes about.",
            query=Asked,
            answer=Explained,
            public=False,
        ),
        Route(
            "POST",
            "/admin/limits/reset",
            http.reset,
            "Give an identity its limits back.",
            body=ResetBody,
            answer=Reset,
            public=False,
        ),
    )
