"""Whether a freshly trained model may replace the one that serves, and when to train at all."""

import msgspec


class Verdict(msgspec.Struct, frozen=True):
    """The decision and its reason."""

    promoted: bool
    reason: str


def judge(candidate_ndcg: float, current_ndcg: float | None, tolerance: float) -> Verdict:
    """A candidate passes when it is not worse than the current model by more than `tolerance` (a share).

    Both figures are taken on the same newest slice of the log. None: nothing serves yet.
    """
    if current_ndcg is None:
        return Verdict(True, "nothing serves yet")
    if not candidate_ndcg >= 0:
        return Verdict(False, f"its NDCG is not a number ({candidate_ndcg})")
    floor = current_ndcg * (1.0 - tolerance)
    if candidate_ndcg >= floor:
        return Verdict(True, f"NDCG {candidate_ndcg:.4f} against {current_ndcg:.4f}")
    return Verdict(
        False, f"NDCG {candidate_ndcg:.4f} is below {floor:.4f} ({tolerance:.0%} under the current)"
    )


def is_due(
    *, new_events: int, age_s: float | None, after_events: int, after_s: float, min_events: int, events: int
) -> str:
    """Why to train now, or an empty text. age_s: of the newest attempt; None when there was none."""
    if events < min_events or new_events <= 0:
        return ""
    if age_s is None:
        return "nothing trained yet"
    if new_events >= after_events:
        return f"{new_events} new events"
    if age_s >= after_s:
        return f"{age_s:.0f} s since the last training"
    return ""
