from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.rooms.jobs.rules.states import (
    ATTEMPT_ENDS,
    ENDED,
    NEXT,
    QUEUED,
    STATES,
    AttemptFacts,
    EventFacts,
    JobFacts,
    end_of,
    events_of,
    may_become,
    needed_after,
    start_of,
    status_of,
)


def test_every_state_is_reached_from_the_first_and_may_end():
    reached, open_ones = set(), ["scheduled", "available"]
    while open_ones:
        state = open_ones.pop()
        if state not in reached:
            reached.add(state)
            open_ones += NEXT[state]
    assert reached == set(STATES) == set(NEXT)
    assert not NEXT["succeeded"], "what is done is done"
    assert not may_become("succeeded", "running")
    assert not may_become("failed", "running"), "only by way of a replay"


def test_clients_that_know_four_words_get_one_of_them():
    assert {state: status_of(state) for state in STATES} == {
        "scheduled": "PENDING",
        "available": "PENDING",
        "running": "PROGRESS",
        "retrying": "PROGRESS",
        "succeeded": "SUCCESS",
        "failed": "FAILURE",
        "cancelled": "FAILURE",
    }


class Life:
    """A job as its rows tell it, moved along by what may happen to one."""

    def __init__(self) -> None:
        self.at_ms = 1
        self.state = "available"
        self.attempt = 0
        self.started_ms = None
        self.ended_ms = None
        self.attempts: list[AttemptFacts] = []
        self.stored: list[EventFacts] = []

    def move(self, what: str) -> None:
        self.at_ms += 1
        if what == "claim" and self.state in ("available", "retrying"):
            self.state, self.attempt, self.started_ms = "running", self.attempt + 1, self.at_ms
        elif what in ATTEMPT_ENDS and self.state == "running":
            self.attempts.append(AttemptFacts(self.attempt, self.started_ms or 0, self.at_ms, what))
            self.state = {"retrying": "retrying"}.get(what, what if what in ENDED else "available")
            self.ended_ms = self.at_ms if self.state in ENDED else None
        elif what == "progress" and self.state == "running":
            self.tell("progress", start_of(self.attempt) + 1)
        elif what == "cancel" and self.state in ("available", "retrying"):
            self.state, self.ended_ms = "cancelled", self.at_ms
        elif what == "cancel" and self.state == "running":
            self.tell("cancelling", start_of(self.attempt) + 1)
        elif what == "replay" and self.state in ("failed", "cancelled"):
            last = self.events()[-1]
            if last.seq not in {event.seq for event in self.stored} and last.seq > end_of(self.attempt):
                self.stored.append(last)
            self.tell("replayed", end_of(self.attempt) + 1)
            self.state, self.ended_ms = "available", None

    def tell(self, kind: str, floor: int) -> None:
        newest = max((event.seq for event in self.stored), default=0)
        self.stored.append(EventFacts(max(newest + 1, floor), kind, self.at_ms))

    def events(self, after: int = 0) -> list[EventFacts]:
        facts = JobFacts(1, self.state, self.attempt, self.started_ms, self.ended_ms)
        behind = needed_after(after, self.attempt)
        return events_of(facts, self.attempts, [one for one in self.stored if one.seq > behind], after)


moves = st.sampled_from(["claim", "claim", *ATTEMPT_ENDS, "progress", "progress", "cancel", "replay"])


@settings(max_examples=300)
@given(st.lists(moves, max_size=40))
def test_what_was_told_once_is_the_beginning_of_all_that_is_told_later(happens):
    life = Life()
    seen: list[EventFacts] = []
    for what in happens:
        life.move(what)
        now = life.events()
        assert now[: len(seen)] == seen, what
        assert [event.seq for event in now] == sorted({event.seq for event in now})
        assert (life.state in ENDED) == (now[-1].kind in ENDED), "an end is always told, and only an end"
        seen = now
    for at, event in enumerate(seen):
        assert life.events(event.seq) == seen[at + 1 :], "resumed behind any of them"


def test_an_ordinary_life_has_these_numbers():
    life = Life()
    for what in ("claim", "progress", "retrying", "claim", "progress", "succeeded"):
        life.move(what)
    assert [(event.seq, event.kind) for event in life.events()] == [
        (QUEUED, "queued"),
        (1 << 20, "started"),
        ((1 << 20) + 1, "progress"),
        ((1 << 20) + (1 << 19), "retrying"),
        (2 << 20, "started"),
        ((2 << 20) + 1, "progress"),
        ((2 << 20) + (1 << 19), "succeeded"),
    ]


def test_an_attempt_whose_end_cannot_be_read_cuts_what_is_told():
    facts = JobFacts(1, "running", 3, 9)
    ended = [AttemptFacts(1, 2, 3, "retrying")]
    assert [event.kind for event in events_of(facts, ended, [])] == ["queued", "started", "retrying"]
