"""Where clients in any language report what a user did. Parse, append, say so."""

from collections.abc import Sequence

import msgspec

from holdfast.kernel.route import Call, Route
from holdfast.rooms.experiments.engine.tracking import Tracking
from holdfast.rooms.experiments.rules.tracked import Report, facts_of, who_did

PATH = "/api/v2/track"


class Noted(msgspec.Struct, frozen=True):
    """What was written down."""

    user_id: str
    action: str


def routes(tracking: Tracking) -> Sequence[Route]:
    """The one address."""

    async def track(call: Call) -> Noted:
        report: Report = call.body
        user_id = who_did(report, call.user_id)
        tracking.track(report.action, user_id, facts_of(report))
        return Noted(user_id, report.action)

    return (
        Route(
            "POST",
            PATH,
            track,
            "Report what a user did: what experiments count",
            body=Report,
            answer=Noted,
            status=202,
        ),
    )
