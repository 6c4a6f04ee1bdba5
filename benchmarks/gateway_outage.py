"""A primary that goes down for a while: how often it is asked in vain, and when it answers again.

Two providers of `holdfast faults` behind each gateway, the second as fallback. The first answers 503 from the
first call on for a while, in which fifteen requests come at an even pace; then users go on asking four times
a second until the primary answers one of them. Attempts and times are from the primary's own log; what a
gateway sends by itself to find out counts as an attempt, not as being back.
"""

import contextlib
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from benchmarks.apps.llm_contenders import BIN, Absent, Contender, LiteLLM, Ours, Upstream, send
from benchmarks.apps.serving import folder, free_port, program
from benchmarks.harness import Row, at_most, main, shown

REQUESTS = 15
LONGEST_S = 60.0
"""After which nobody waits any longer for the primary to be asked again."""
PROMPT = "What is the capital of France? " * 20
"""Long, so that a user's request is told from one that a gateway sends by itself."""


@dataclass(frozen=True)
class Story:
    """What happened at one gateway."""

    attempts: int
    unanswered: int
    """Of the fifteen requests."""
    back_s: float | None
    """From the end of the outage to the first answer from the primary to a user; None: not in time."""

    def told(self) -> str:
        back = f"not within {LONGEST_S:.0f} s" if self.back_s is None else f"after {self.back_s:.1f} s"
        return f"{self.attempts} attempts, {self.unanswered} of {REQUESTS} unanswered, back {back}"


def run(quick: bool) -> list[Row]:
    outage_s = 8.0 if quick else 15.0
    contenders = (Ours(), LiteLLM())
    with ThreadPoolExecutor(len(contenders)) as pool:
        ours, litellm = pool.map(lambda each: watched(each, outage_s), contenders)
    attempts = f"attempts at a dead primary during an outage of {REQUESTS} requests in {outage_s:.0f} s"
    back = "the primary answers a user again, after its recovery: s"
    if isinstance(ours, str):
        return [
            Row(attempts, ours, {"litellm": told(litellm)}, None, 6, None, None),
            Row(back, ours, {}, None, 30, None, None),
        ]
    found_s = LONGEST_S if ours.back_s is None else ours.back_s
    return [
        at_most(attempts, ours.told(), ours.attempts, 6, None, litellm=told(litellm)),
        at_most(back, f"{found_s:.1f} s", found_s, 30, None),
        shown("of these requests, without an answer", ours.unanswered),
    ]


def told(story: Story | str) -> str:
    return story if isinstance(story, str) else story.told()


def watched(contender: Contender, outage_s: float) -> Story | str:
    """The story of one gateway, or why it is not run."""
    with contextlib.ExitStack() as stack:
        place = stack.enter_context(folder())
        primary = stack.enter_context(provider("primary", f"outage:{outage_s:g}s"))
        fallback = stack.enter_context(provider("fallback", "ok"))
        try:
            stack.enter_context(contender.start(place, [primary, fallback]))
        except Absent as why:
            return f"not run: {why}"
        return outage(contender, primary, outage_s)


@contextlib.contextmanager
def provider(name: str, fault: str) -> Iterator[Upstream]:
    """`holdfast faults` whose every model has this fault."""
    port = free_port()
    with folder() as place:
        command = [str(BIN / "holdfast"), "faults", "--port", str(port), "--fault", fault]
        with program(command, port=port, core=1, place=place, log=place / "faults.log"):
            yield Upstream(name, port, model=f"{name}-model")


def outage(contender: Contender, primary: Upstream, outage_s: float) -> Story:
    """Fifteen requests while it is down, then more until it answers."""
    pace_s = outage_s / REQUESTS
    began = time.monotonic()
    unanswered = 0
    for number in range(REQUESTS):
        until(began + number * pace_s)
        status, _, _ = contender.ask(f"{PROMPT} {number}")
        unanswered += status != 200
    first_s = calls(primary)[0]["began_s"]
    over_s = first_s + outage_s
    # The outage ends by the primary's clock, which began with the first attempt: a little later than ours.
    until(began + outage_s + 0.5)
    attempts = sum(call["status"] != 200 for call in calls(primary))
    for number in range(int(LONGEST_S * 4)):
        contender.ask(f"{PROMPT} again {number}")
        back = [call["began_s"] for call in calls(primary) if answered_user(call)]
        if back:
            return Story(attempts, unanswered, max(0.0, back[0] - over_s))
        until(began + outage_s + 0.5 + number / 4)
    return Story(attempts, unanswered, None)


def answered_user(call: dict[str, Any]) -> bool:
    return call["status"] == 200 and call["body_bytes"] > len(PROMPT)


def calls(upstream: Upstream) -> Sequence[dict[str, Any]]:
    """Everything that has reached this provider, in the order in which it came."""
    _, _, log = send(upstream.port, "GET", "/_calls")
    return sorted(
        (call for each in log["models"].values() for call in each), key=lambda call: call["began_s"]
    )


def until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.monotonic()))


if __name__ == "__main__":
    main(run, __doc__.split("\n", 1)[0])
