"""Every fault of `holdfast faults` behind a served gateway: what callers get, what is kept, what is charged.

Each fault is asked whole and as a stream, with a healthy fallback behind it and without one, then once more:
a bad answer must not have been kept. All of it at once, against one gateway.
"""

import asyncio
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from holdfast.rooms.faults.rules.answers import sentence
from holdfast.rooms.faults.rules.table import FAULTS
from tests.acceptance.gateway import PATIENCE_S, Told, Upstream, chat, deployment, gateway, rows_until, table
from tests.acceptance.serving import Served

pytestmark = pytest.mark.slow

HEALTHY, OWN, MARKED, FAILS = "healthy", "its own", "marked", "fails"
BEHAVES: dict[str, tuple[str, str, str]] = {
    # what is asked for: (the fault's model name, whole, streamed), without a fallback
    "ok": ("ok", HEALTHY, HEALTHY),
    "slow-headers": ("slow-headers:0.3", HEALTHY, HEALTHY),
    "silent": ("silent", FAILS, FAILS),
    "silent-after-headers": ("silent-after-headers", FAILS, FAILS),
    "slow-first-token": ("slow-first-token:0.3", HEALTHY, HEALTHY),
    "role-only-first": ("role-only-first:0.3", HEALTHY, HEALTHY),
    "stall-mid-stream": ("stall-mid-stream:3", FAILS, FAILS),
    "slow-drip": ("slow-drip:0.002", HEALTHY, HEALTHY),
    "paced": ("paced:0.01", HEALTHY, HEALTHY),
    "401": ("401", FAILS, FAILS),
    "403": ("403", FAILS, FAILS),
    "404": ("404", FAILS, FAILS),
    "408": ("408", FAILS, FAILS),
    "429": ("429", FAILS, FAILS),
    "429-retry-after": ("429-retry-after:60", FAILS, FAILS),
    "429-retry-after-ms": ("429-retry-after-ms:60000", FAILS, FAILS),
    "429-retry-after-date": ("429-retry-after-date:60", FAILS, FAILS),
    "429-long": ("429-long", FAILS, FAILS),
    "429-quota": ("429-quota", FAILS, FAILS),
    "500": ("500", FAILS, FAILS),
    "503": ("503", FAILS, FAILS),
    "529": ("529", FAILS, FAILS),
    "status": ("status:418", FAILS, FAILS),
    "context-length": ("context-length", FAILS, FAILS),
    "content-filter-400": ("content-filter-400", FAILS, FAILS),
    "500-burst": ("500-burst:1", HEALTHY, HEALTHY),
    "outage": ("outage:1", HEALTHY, HEALTHY),
    "outage-reset": ("outage-reset:1", HEALTHY, HEALTHY),
    "flaky": ("flaky:0", HEALTHY, HEALTHY),
    "html-200": ("html-200", FAILS, FAILS),
    "empty-200": ("empty-200", FAILS, FAILS),
    "error-200": ("error-200", FAILS, FAILS),
    "error-first-in-stream": ("error-first-in-stream", FAILS, FAILS),
    "error-in-stream": ("error-in-stream:2", FAILS, FAILS),
    "wrong-content-type": ("wrong-content-type", FAILS, FAILS),
    "bad-json": ("bad-json", FAILS, FAILS),
    "malformed-sse": ("malformed-sse", FAILS, HEALTHY),
    "crlf-sse": ("crlf-sse", HEALTHY, HEALTHY),
    "keepalive-comments": ("keepalive-comments:0", HEALTHY, HEALTHY),
    "reset": ("reset", FAILS, FAILS),
    "reset-mid-body": ("reset-mid-body", FAILS, FAILS),
    "cut-mid-stream": ("cut-mid-stream:3", FAILS, FAILS),
    "no-done": ("no-done", HEALTHY, HEALTHY),
    "no-finish": ("no-finish", FAILS, FAILS),
    # Whole answers that are not what they should be: passed on as what they say they are, never kept.
    "truncated-length": ("truncated-length", MARKED, MARKED),
    "content-filter": ("content-filter", MARKED, MARKED),
    "wrong-model": ("wrong-model", MARKED, MARKED),
    "no-usage": ("no-usage", HEALTHY, HEALTHY),
    "reasoning": ("reasoning", HEALTHY, HEALTHY),
    "tool-call": ("tool-call", OWN, OWN),
    "echo-headers": ("echo-headers", OWN, OWN),
    "huge": ("huge:300000", OWN, OWN),
    # These strike embeddings; a chat is well.
    "bad-dimensions": ("bad-dimensions", HEALTHY, HEALTHY),
    "nan-embedding": ("nan-embedding", HEALTHY, HEALTHY),
}
NOT_ROUTED_AROUND = {"status", "content-filter-400"}
"""What the request itself is at fault for: no other model is asked."""
BREAK_LATER = {
    "cut-mid-stream",
    "stall-mid-stream",
    "error-in-stream",
    "reset-mid-body",
    "no-finish",
    "bad-json",
}
"""Streams that break after their first content: then it is too late for a fallback, unless for a rescue."""
BAD_VECTORS = ["bad-dimensions", "nan-embedding", "html-200", "500", "cut-mid-stream"]
LIMITS: dict[str, Any] = {
    "connect_s": 10.0,
    "first_byte_s": 10.0,
    "first_token_s": 11.0,
    "idle_s": 10.0,
    "attempt_s": 12.0,
    "attempts": 2,
}
"""Each runs out for those that are to, and for nobody whom a busy machine gives no turn for seconds."""
TOTAL_S = 60.0


@dataclasses.dataclass
class Case:
    """One request and what came of it."""

    fault: str
    way: str
    streamed: bool
    model: str
    prompt: str
    status: int = 0
    headers: Any = None
    raw: bytes = b""
    again: str = ""
    """What the second answer said of the cache."""

    @property
    def expected(self) -> str:
        _, whole, streamed = BEHAVES[self.fault]
        found = streamed if self.streamed else whole
        begun = self.streamed and self.fault in BREAK_LATER
        if found == FAILS and self.way == "backed" and self.fault not in NOT_ROUTED_AROUND and not begun:
            return HEALTHY
        return found

    def __str__(self) -> str:
        return f"{self.model} {'streamed' if self.streamed else 'whole'}: {self.status} {self.raw[-300:]!r}"


def every_case() -> list[Case]:
    return [
        Case(fault, way, streamed, f"{way}-{way_of(streamed)}-{fault}", f"{fault} {way}: 안녕하세요?")
        for fault in BEHAVES
        for way in ("alone", "backed")
        for streamed in (False, True)
    ]


def way_of(streamed: bool) -> str:
    return "streamed" if streamed else "whole"


def settings(url: str) -> str:
    parts = [
        # A guard for each deployment: more than anybody has.
        table("resilience", most_dependencies=1000),
        table("llm", first_wait_s=0.02),
        table("llm.defaults", total_s=TOTAL_S),
        deployment("healthy", url, "gpt-4o+ok"),
    ]
    for case in every_case():
        # Each way has a deployment of its own: a breaker that one opens must not answer for another.
        upstream = f"{case.way}-{way_of(case.streamed)}+{BEHAVES[case.fault][0]}"
        parts.append(deployment(case.model, url, upstream, **LIMITS))
        if case.way == "backed":
            parts.append(table(f'llm.models."{case.model}"', total_s=TOTAL_S, fallbacks=["healthy"]))
    for fault in BAD_VECTORS:
        for way in ("alone", "backed"):
            # Of their own as well, whichever test comes first.
            name = f"vectors-{way}-{fault}"
            parts.append(deployment(name, url, f"vectors-{way}+{BEHAVES[fault][0]}", **LIMITS))
            if way == "backed":
                parts.append(table(f'llm.models."{name}"', total_s=TOTAL_S, fallbacks=["healthy"]))
    for fault in (
        "cut-mid-stream:3",
        "stall-mid-stream:3",
        "error-in-stream:2",
        "reset-mid-body",
        "no-finish",
    ):
        name = f"rescued-{fault.partition(':')[0]}"
        parts.append(deployment(name, url, f"rescued+{fault}", **LIMITS))
        parts.append(table(f'llm.models."{name}"', total_s=TOTAL_S, fallbacks=["healthy"], rescue="restart"))
    return "\n".join(parts)


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Served]:
    with gateway(tmp_path_factory.mktemp("faults"), settings(upstream.url)) as served:
        yield served
        assert served.stop() == 0


@pytest.fixture(scope="module")
def asked(served: Served) -> list[Case]:
    """Every case, asked twice."""
    return asyncio.run(ask_all(served))


async def ask_all(served: Served) -> list[Case]:
    cases = every_case()
    turns = asyncio.Semaphore(40)
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{served.port}",
        timeout=PATIENCE_S,
        # A connection that is kept the server closes after 5 s, be a request on its way or not.
        limits=httpx.Limits(max_connections=40, max_keepalive_connections=0),
    ) as client:

        async def ask(case: Case) -> None:
            body = chat(case.prompt, case.model, stream=case.streamed)
            async with turns:
                reply = await client.post("/v1/chat/completions", json=body)
                case.status, case.headers, case.raw = reply.status_code, reply.headers, reply.content
                # Whatever went wrong slowly goes wrong slowly again: what is kept is asked for in no time.
                if case.expected != FAILS:
                    again = await client.post("/v1/chat/completions", json=body)
                    case.again = again.headers.get("x-holdfast-cache", "failed")

        await asyncio.gather(*(ask(case) for case in cases))
    return cases


def test_the_table_is_the_whole_table() -> None:
    assert set(BEHAVES) == {kind.name for kind in FAULTS}


def test_no_case_ends_in_anything_but_an_answer_or_a_clear_error(asked: list[Case]) -> None:
    for case in asked:
        if case.status == 200:
            if case.streamed:
                told = Told(case.raw)
                assert told.is_done == (not told.errors), f"{case}"
                assert len(told.errors) <= 1, f"{case}"
                for error in told.errors:
                    assert_clear(error, case)
            else:
                assert json.loads(case.raw)["choices"], f"{case}"
        else:
            assert 400 <= case.status <= 504, f"{case}"
            assert case.status != 500, f"{case}"
            assert_clear(json.loads(case.raw)["error"], case)


def assert_clear(error: dict[str, Any], case: Case) -> None:
    assert set(error) == {"message", "type", "param", "code"}, f"{case}"
    assert error["message"], f"{case}"
    assert error["type"], f"{case}"
    assert "internal" not in str(error["code"]), f"{case}"


def said(case: Case) -> tuple[str, list[str]]:
    """The text of a success and its finish reasons; fails where it is no success."""
    assert case.status == 200, f"{case}"
    if case.streamed:
        told = Told(case.raw)
        assert told.is_done, f"{case}"
        return told.text, told.finishes
    choice = json.loads(case.raw)["choices"][0]
    return choice["message"]["content"] or "", [choice["finish_reason"]]


def test_whatever_can_be_answered_is_answered_whole(asked: list[Case]) -> None:
    for case in asked:
        if case.expected == HEALTHY:
            assert said(case) == (sentence(case.prompt), ["stop"]), f"{case}"
        elif case.expected == OWN:
            text, finishes = said(case)
            assert finishes == ["tool_calls" if case.fault == "tool-call" else "stop"], f"{case}"
            if case.fault == "huge":
                assert len(text) == 300_000, f"{case.model}: {len(text)}"


def test_what_nobody_can_answer_is_an_error_and_never_a_shorter_answer(asked: list[Case]) -> None:
    for case in asked:
        if case.expected == FAILS:
            if case.status == 200:
                assert case.streamed, f"{case}"
                told = Told(case.raw)
                assert told.errors, f"{case}"
                assert not told.finishes, f"{case}"
                assert sentence(case.prompt).startswith(told.text), f"{case}"
        elif case.expected == MARKED:
            text, finishes = said(case)
            if case.fault == "wrong-model":
                assert (text, finishes) == (sentence(case.prompt), ["stop"]), f"{case}"
                assert b"another-model" in case.raw, f"{case}"
            else:
                assert len(text) < len(sentence(case.prompt)), f"{case}"
                assert finishes == [
                    {"truncated-length": "length"}.get(case.fault, case.fault.replace("-", "_"))
                ]


def test_the_streams_that_break_before_their_first_content_are_answered_by_the_fallback_unseen(
    asked: list[Case],
) -> None:
    for case in asked:
        alone = BEHAVES[case.fault][1 + case.streamed]
        if case.way == "backed" and case.expected == HEALTHY and alone == FAILS:
            assert case.headers["x-holdfast-provider"] == "healthy", f"{case}"
            assert int(case.headers["x-holdfast-attempts"]) >= 2, f"{case}"


def test_only_whole_good_answers_are_kept(asked: list[Case]) -> None:
    for case in asked:
        if case.expected == MARKED or case.fault == "tool-call":
            assert case.again == "miss", f"{case}: {case.again}"
        elif case.expected in (HEALTHY, OWN):
            assert case.again == "hit", f"{case}: {case.again}"


def test_what_the_provider_asks_to_wait_is_told(asked: list[Case]) -> None:
    for case in asked:
        if case.way == "alone" and case.fault in (
            "429-retry-after",
            "429-retry-after-ms",
            "429-retry-after-date",
        ):
            assert case.status == 429, f"{case}"
            assert 1 <= int(case.headers["retry-after"]) <= 62, f"{case}"
        if case.way == "alone" and case.fault == "429-long":
            assert case.status == 429, f"{case}"


def test_a_dead_provider_is_not_asked_more_often_than_it_may_be(
    asked: list[Case], upstream: Upstream
) -> None:
    for case in asked:
        calls = upstream.calls(f"{case.way}-{way_of(case.streamed)}+{BEHAVES[case.fault][0]}")
        assert calls, f"{case}"
        if case.expected == FAILS or (case.way == "backed" and case.again == "hit"):
            # One round of at most two attempts; what hung is never asked twice.
            most = 1 if "silent" in case.fault or "stall" in case.fault else 2
            assert len(calls) <= most, f"{case}: {len(calls)} calls"


def test_every_attempt_has_its_row(asked: list[Case], served: Served, upstream: Upstream) -> None:
    seen = len(upstream.calls())
    rows = rows_until(served.folder, lambda rows: len([row for row in rows if row["attempt"]]) >= seen)
    for case in asked:
        own = [row for row in rows if row["model"] == case.model]
        made = [row for row in own if row["attempt"] and row["deployment"] == case.model]
        calls = upstream.calls(f"{case.way}-{way_of(case.streamed)}+{BEHAVES[case.fault][0]}")
        assert len(made) == len(calls), f"{case}: {[row['outcome'] for row in made]}"
        answered = [row for row in own if row["outcome"] == "ok"]
        if case.expected in (HEALTHY, OWN, MARKED):
            assert answered, f"{case}"
            assert all(row["tokens_out"] > 0 for row in answered), f"{case}"
            if case.fault == "no-usage":
                assert {row["estimated"] for row in answered} == {1}
        else:
            assert {row["outcome"].partition(":")[0] for row in own} == {"failed"}, f"{case}"


@pytest.mark.parametrize(
    "fault", ["cut-mid-stream", "stall-mid-stream", "error-in-stream", "reset-mid-body", "no-finish"]
)
def test_a_rescued_stream_comes_whole(served: Served, fault: str) -> None:
    prompt = f"{fault}: 끝까지 말해 주세요"
    reply = served.request("POST", "/v1/chat/completions", chat(prompt, f"rescued-{fault}", stream=True))
    told = Told(reply.body)
    assert (told.text, told.finishes, told.is_done) == (sentence(prompt), ["stop"], True)
    assert reply.headers["x-holdfast-provider"] == "healthy"


@pytest.mark.parametrize("fault", BAD_VECTORS)
def test_bad_vectors_are_errors_or_come_from_the_fallback(served: Served, fault: str) -> None:
    for way in ("alone", "backed"):
        body = {"model": f"vectors-{way}-{fault}", "input": ["서울", "Busan"], "dimensions": 64}
        replies = [served.request("POST", "/v1/embeddings", body) for _ in range(2)]
        if way == "alone":
            assert all(reply.status in (502, 503) for reply in replies), replies[0].body
        else:
            assert [len(reply.json()["data"]) for reply in replies] == [2, 2]
            assert [reply.headers["x-holdfast-cache"] for reply in replies] == ["miss", "hit"]


def test_the_gateway_is_well_after_all_that(asked: list[Case], served: Served, tmp_path: Path) -> None:
    assert served.get("/health").status == 200
    page = served.get("/api/v1/monitoring/metrics/llm").json()
    assert len(page) > 1
    assert "Traceback" not in "".join(served.stderr)
