"""Bad days of the gateway, from outside: clients that leave, crowds, prompts that are no prompts, outages."""

import asyncio
import contextlib
import http.client
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from holdfast.kernel.clock import ManualClock
from holdfast.rooms.faults.rules.answers import sentence
from tests.acceptance.gateway import (
    PATIENCE_S,
    Told,
    Upstream,
    chat,
    deployment,
    gateway,
    ledger,
    rows_until,
    table,
)
from tests.acceptance.serving import Reply, Served, run_cli
from tests.waiting import wait_until

pytestmark = pytest.mark.slow

CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as upstream:
        yield upstream


def ask(served: Served, body: dict[str, Any], **headers: str) -> Reply:
    return served.request("POST", CHAT, body, {name.replace("_", "-"): it for name, it in headers.items()})


def sent(
    threads: ThreadPoolExecutor, served: Served, bodies: list[dict[str, Any]], **headers: str
) -> list[Future[Reply]]:
    """All at once, each over a connection of its own."""
    ready = threading.Barrier(len(bodies))

    def one(body: dict[str, Any]) -> Reply:
        ready.wait(PATIENCE_S)
        return ask(served, body, **headers)

    return [threads.submit(one, body) for body in bodies]


def together(served: Served, bodies: list[dict[str, Any]], **headers: str) -> list[Reply]:
    with ThreadPoolExecutor(len(bodies)) as threads:
        return [each.result() for each in sent(threads, served, bodies, **headers)]


@contextlib.contextmanager
def begun(served: Served, body: dict[str, Any]) -> Iterator[http.client.HTTPConnection]:
    """A request that has been sent and whose answer nobody has read."""
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=PATIENCE_S)
    with contextlib.closing(connection):
        connection.request("POST", CHAT, json.dumps(body).encode())
        yield connection


# -- clients that leave ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def leaving(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Served]:
    names = {"hangs": "left-whole+silent", "streams": "left+stall-mid-stream:3", "later": "left-late+silent"}
    toml = table("llm", first_wait_s=0.01) + "".join(
        deployment(name, upstream.url, model) for name, model in names.items()
    )
    toml += deployment("behind", upstream.url, "behind+ok")
    toml += "".join(table(f"llm.models.{name}", fallbacks=["behind"]) for name in names)
    toml += deployment("shared", upstream.url, "shared+slow-headers:3")
    toml += deployment("shared-stream", upstream.url, "shared+paced:0.1")
    with gateway(tmp_path_factory.mktemp("leaving"), toml) as served:
        yield served


@pytest.mark.parametrize(
    ("model", "name", "streamed"),
    [
        ("hangs", "left-whole+silent", False),
        ("streams", "left+stall-mid-stream:3", True),
        ("later", "left-late+silent", True),
    ],
)
def test_a_client_that_leaves_is_seen_to_leave_and_nobody_else_is_asked(
    leaving: Served, upstream: Upstream, model: str, name: str, streamed: bool
) -> None:
    with begun(leaving, chat("나는 떠난다", model, stream=streamed)) as connection:
        wait_until(lambda: upstream.calls(name))
        if model == "streams":
            assert connection.getresponse().readline().startswith(b"data: ")
    wait_until(lambda: [call.left_early for call in upstream.calls(name)] == [True])
    rows = rows_until(leaving.folder, lambda rows: [row for row in rows if row["model"] == model])
    (row,) = [row for row in rows if row["model"] == model]
    assert (row["outcome"], row["deployment"], row["estimated"]) == ("cancelled", model, 1)
    assert row["tokens_in"] > 0
    # The account is closed: whatever was to be asked has been.
    assert len(upstream.calls(name)) == 1
    assert upstream.calls("behind+ok") == []


@pytest.mark.parametrize(("model", "streamed"), [("shared", False), ("shared-stream", True)])
def test_a_leader_that_leaves_takes_nobody_along(
    leaving: Served, upstream: Upstream, model: str, streamed: bool
) -> None:
    name = "shared+paced:0.1" if streamed else "shared+slow-headers:3"
    body, before = chat("모두 같은 질문", model, stream=streamed), len(upstream.calls(name))
    with ThreadPoolExecutor(5) as threads, upstream.held():
        with begun(leaving, body):
            wait_until(lambda: upstream.calls(name)[before:])
            followers = [threads.submit(ask, leaving, body) for _ in range(5)]
            wait_until(lambda: under_way(leaving) == 6)
        wait_until(lambda: under_way(leaving) == 5)
    replies = [each.result() for each in followers]
    for reply in replies:
        assert reply.status == 200, reply.body
        assert reply.headers["x-holdfast-cache"] == "coalesced"
        told = Told(reply.body).text if streamed else reply.json()["choices"][0]["message"]["content"]
        assert told == sentence("모두 같은 질문")
    assert [call.left_early for call in upstream.calls(name)[before:]] == [False]


def under_way(served: Served) -> int:
    """Requests that the server has open, streams among them, the question itself not counted."""
    lines = served.get("/metrics").body.decode().splitlines()
    (found,) = [line for line in lines if line.startswith("holdfast_http_requests_in_flight{")]
    return int(float(found.rsplit(" ", 1)[1])) - 1


def test_twenty_equal_questions_are_one_upstream_call(leaving: Served, upstream: Upstream) -> None:
    for streamed, model in ((False, "shared"), (True, "shared-stream")):
        before = len(upstream.calls())
        replies = together(leaving, [chat(f"스무 번 {model}", model, stream=streamed)] * 20)
        assert {reply.status for reply in replies} == {200}
        sources = [reply.headers["x-holdfast-cache"] for reply in replies]
        assert sources.count("miss") == 1, sources
        assert set(sources) <= {"miss", "coalesced", "hit"}
        assert len(upstream.calls()) == before + 1
        if streamed:
            assert {Told(reply.body).text for reply in replies} == {sentence(f"스무 번 {model}")}


# -- budgets, keys and tenants ---------------------------------------------------------------------


def create_key(folder: Path, *arguments: str) -> tuple[str, str]:
    """(id, secret) of a new virtual key, made by the command line beside the running server."""
    made = run_cli(folder, "llm", "keys", "create", *arguments)
    assert made.returncode == 0, made.stderr
    return made.stderr.split("id ")[1].split(";")[0], made.stdout.strip()


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Served]:
    toml = table("llm", keys_required=True)
    toml += deployment("gpt-small", upstream.url, "keyed+ok") + deployment("other", upstream.url, "other+ok")
    toml += deployment("slow", upstream.url, "keyed+slow-headers:1")
    toml += table('llm.prices."keyed+*"', input_per_million=10.0, output_per_million=100.0)
    with gateway(tmp_path_factory.mktemp("keyed"), toml) as served:
        yield served


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def test_of_eight_first_requests_with_a_budget_for_one_one_passes(keyed: Served, upstream: Upstream) -> None:
    # Each reserves 100 tokens and those of its prompt: 150 are enough for one, until that has used fewer.
    _, key = create_key(keyed.folder, "여덟", "--user", "eight", "--tokens", "150/day")
    bodies = [chat(f"질문 {number}", "slow", max_tokens=100) for number in range(8)]
    with ThreadPoolExecutor(len(bodies)) as threads, upstream.held():
        asked = sent(threads, keyed, bodies, **bearer(key))
        wait_until(lambda: sum(each.done() for each in asked) >= 7)
    replies = [each.result() for each in asked]
    assert sorted(reply.status for reply in replies) == [200] + [429] * 7
    for reply in replies:
        if reply.status == 429:
            error = reply.json()["error"]
            assert (error["type"], error["code"]) == ("rate_limit_error", "budget_exceeded")
            assert int(reply.headers["retry-after"]) >= 1


def test_a_key_lives_is_used_is_billed_and_is_revoked(keyed: Served, upstream: Upstream) -> None:
    id, key = create_key(keyed.folder, "삶", "--user", "김 대리", "--tenant", "seoul", "--model", "gpt-*")
    reply = ask(keyed, chat("얼마입니까?", "gpt-small"), **bearer(key))
    assert reply.status == 200
    assert float(reply.headers["x-holdfast-cost"]) > 0
    refused = ask(keyed, chat("얼마입니까?", "other"), **bearer(key))
    assert (refused.status, refused.json()["error"]["type"]) == (403, "permission_error")
    shown = keyed.request("GET", "/v1/models", headers=bearer(key)).json()["data"]
    assert [model["id"] for model in shown] == ["gpt-small"]
    assert keyed.request("GET", "/v1/models/other", headers=bearer(key)).status == 404
    rows = rows_until(keyed.folder, lambda rows: [row for row in rows if row["key_id"] == id])
    (row,) = [row for row in rows if row["key_id"] == id]
    assert (row["user"], row["tenant"], row["outcome"]) == ("김 대리", "seoul", "ok")
    assert row["cost"] == row["tokens_in"] * 10_000 + row["tokens_out"] * 100_000
    assert f"{row['cost'] / 1e9:.9f}" == reply.headers["x-holdfast-cost"]
    report = run_cli(keyed.folder, "llm", "spend", "--by", "user")
    assert any(line.startswith("김 대리") for line in report.stdout.splitlines()), report.stdout
    spend = keyed.get("/admin/llm/spend?by=tenant").json()
    assert "seoul" in {line["id"] for line in spend["lines"]}
    assert run_cli(keyed.folder, "llm", "keys", "revoke", id).returncode == 0
    wait_until(lambda: ask(keyed, chat("다시", "gpt-small"), **bearer(key)).status == 401)
    gone = ask(keyed, chat("다시 한번", "gpt-small"), **bearer(key)).json()["error"]
    assert (gone["type"], gone["code"]) == ("authentication_error", "key_disabled")


def test_two_tenants_share_no_answer_and_no_flight(keyed: Served, upstream: Upstream) -> None:
    keys = [create_key(keyed.folder, name, "--tenant", name)[1] for name in ("갑", "을")]
    body = chat("우리 회사의 비밀은?", "gpt-small")
    before = len(upstream.calls("keyed+ok"))
    told = [ask(keyed, body, **bearer(key)).headers["x-holdfast-cache"] for key in (*keys, *keys)]
    assert told == ["miss", "miss", "hit", "hit"]
    assert len(upstream.calls("keyed+ok")) == before + 2
    slow = chat("동시에", "slow")
    ready = threading.Barrier(2)

    def one(key: str) -> str:
        ready.wait(PATIENCE_S)
        return ask(keyed, slow, **bearer(key)).headers["x-holdfast-cache"]

    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(one, keys)) == ["miss", "miss"]


# -- prompts ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Served]:
    toml = deployment("gpt", upstream.url, "plain+ok") + deployment("thinks", upstream.url, "plain+reasoning")
    with gateway(tmp_path_factory.mktemp("plain"), toml) as served:
        yield served


def test_a_prompt_of_100_000_tokens_passes_and_is_written_down_nowhere(
    plain: Served, upstream: Upstream
) -> None:
    secret = "비밀스러운 문장 Zaubertrank"
    prompt = f"{secret} " * 20_000
    for streamed in (False, True):
        reply = ask(plain, chat(prompt, "gpt", stream=streamed))
        assert reply.status == 200, reply.body[:300]
        # The deployment's 404 and a refusal are written down too, without it.
        assert ask(plain, chat(prompt, "nobody")).status == 404
        assert ask(plain, chat(prompt, "gpt", temperature=9)).status == 400
    assert max(call.body_bytes for call in upstream.calls("plain+ok")) > len(prompt)
    assert rows_until(
        plain.folder, lambda rows: max((row["tokens_in"] for row in rows), default=0) >= 100_000
    )
    assert wait_until(lambda: list((plain.folder / "data" / "events").glob("*/*.jsonl")))
    for file in (plain.folder / "data").rglob("*"):
        if file.is_file():
            assert b"Zaubertrank" not in file.read_bytes(), file
    assert "Zaubertrank" not in "".join(plain.stderr)


@pytest.mark.parametrize("model", ["gpt", "extractive"])
@pytest.mark.parametrize("streamed", [False, True])
def test_odd_prompts_get_an_answer_or_an_error_that_says_why(
    plain: Served, model: str, streamed: bool
) -> None:
    head = json.dumps({"model": model, "stream": streamed, "temperature": 0}).encode()[:-1]
    odd = {
        b'"a\\u0000b"': 200,
        b'"\\u0001\\u001b[31m"': 200,
        b'"\\ud83d\\ude00 \xea\xb0\x80"': 200,
        b'"half \\ud83d of a smile"': 400,
        b'"half \xed\xa0\xbd of a smile"': 400,
        b'"\xff\xfe"': 400,
        b'""': 200,
        b'[{"type": "text", "text": "\xec\x95\x88\xeb\x85\x95"}]': 200,
        b'[{"type": "text"}, 5, null, {"type": "text", "text": 7}]': 200,
        b"5": 400,
        b"[" * 5_000: 400,
    }
    for content, status in odd.items():
        raw = head + b', "messages": [{"role": "user", "content": ' + content + b"}]}"
        reply = plain.request("POST", CHAT, raw)
        assert reply.status == status, (content[:40], reply.body[:300])
        if status == 400:
            assert reply.json()["error"]["type"] == "invalid_request_error"
        elif streamed:
            assert Told(reply.body).is_done


def test_ten_megabytes_pass_and_seventeen_are_too_many(plain: Served) -> None:
    for model, status in (("gpt", 200), ("extractive", 413)):
        raw = json.dumps(chat("가나 " * 1_400_000, model), ensure_ascii=False).encode()
        assert len(raw) > 9_000_000
        reply = plain.request("POST", CHAT, raw)
        assert (reply.status, b"2,000,000 characters" in reply.body) == (status, status == 413)
    refused = ask(plain, chat("a" * 17_000_000, "gpt"))
    assert (refused.status, refused.json()["error"]["code"]) == (413, "too_large")
    assert plain.get("/health").status == 200


# -- the exact cache -------------------------------------------------------------------------------


def test_the_cache_is_asked_and_told_as_the_caller_says(plain: Served, upstream: Upstream) -> None:
    body = chat("캐시", "gpt")
    told = [
        ask(plain, body, **headers).headers["x-holdfast-cache"]
        for headers in (
            {"Cache-Control": "no-store"},
            {},
            {},
            {"Cache-Control": "no-cache"},
            {"Cache-Control": "no-store"},
            {},
        )
    ]
    assert told == ["miss", "miss", "hit", "miss", "miss", "hit"]
    kept = ask(plain, body)
    assert int(kept.headers["age"]) >= 0
    assert (kept.headers["x-holdfast-attempts"], float(kept.headers["x-holdfast-cost"])) == ("0", 0.0)
    # Whoever asks for anything else, or does not ask for temperature 0, gets an answer of its own.
    for other in (
        chat("캐시", "gpt", top_p=0.5),
        chat("캐시", "gpt", temperature=0.5),
        chat("캐시", "gpt", seed=7, temperature=None),
        chat("캐시.", "gpt"),
    ):
        assert ask(plain, other).headers["x-holdfast-cache"] == "miss"


def test_a_stream_that_was_kept_is_told_again_with_every_field(plain: Served) -> None:
    body = chat("생각해 보세요", "thinks", stream=True, stream_options={"include_usage": True})
    first, second = (ask(plain, body) for _ in range(2))
    assert [each.headers["x-holdfast-cache"] for each in (first, second)] == ["miss", "hit"]
    whole = ask(plain, {**body, "stream": False, "stream_options": None})
    assert whole.headers["x-holdfast-cache"] == "hit"
    message = whole.json()["choices"][0]["message"]
    for told in (Told(first.body), Told(second.body)):
        deltas = [choice["delta"] for chunk in told.chunks for choice in chunk["choices"]]
        for field in ("content", "reasoning_content"):
            assert "".join(delta.get(field) or "" for delta in deltas) == message[field] != ""
        assert told.chunks[-1]["usage"] == whole.json()["usage"]
        assert {chunk["id"] for chunk in told.chunks} == {whole.json()["id"]}
        assert told.is_done


# -- providers that are down -----------------------------------------------------------------------


def test_an_outage_of_15_requests_costs_few_attempts_and_ends_by_itself(tmp_path: Path) -> None:
    clock = ManualClock()
    with Upstream(clock=clock) as upstream:
        toml = table("llm", first_wait_s=0.01)
        toml += deployment("primary", upstream.url, "primary+outage:600s", open_s=1.0, longest_open_s=1.0)
        toml += deployment("second", upstream.url, "second+ok")
        toml += table("llm.models.primary", fallbacks=["second"])
        with gateway(tmp_path, toml) as served:
            began = time.monotonic()
            for number in range(15):
                reply = ask(served, chat(f"{number}번째 질문", "primary"))
                assert reply.status == 200
                assert reply.headers["x-holdfast-provider"] == "second"
            # Those that open its breaker, and one more for each second that it is open.
            assert len(upstream.calls("primary+outage:600s")) <= 6 + int(time.monotonic() - began)
            clock.advance(601)
            numbers = iter(range(1_000_000))
            wait_until(
                lambda: (
                    ask(served, chat(f"돌아왔나 {next(numbers)}", "primary")).headers["x-holdfast-provider"]
                    == "primary"
                )
            )


def test_while_everything_is_down_what_is_old_is_served_and_marked(tmp_path: Path) -> None:
    with Upstream() as upstream:
        toml = table("llm", first_wait_s=0.01) + table("llm.cache", ttl_s=0, stale_s=0)
        toml += deployment("gpt", upstream.url, "old+ok") + deployment("quoting", upstream.url, "gone+ok")
        toml += table("llm.models.quoting", degraded="extractive", total_s=3)
        toml += deployment("sorry", upstream.url, "sorry+ok")
        toml += table("llm.models.sorry", degraded="잠시 후 다시 물어봐 주세요.", total_s=3)
        with gateway(tmp_path, toml) as served:
            body = chat("오래된 질문", "gpt")
            fresh = ask(served, body)
            assert fresh.headers["x-holdfast-cache"] == "miss"
            assert ask(served, body).headers["x-holdfast-cache"] == "miss"
            upstream._do(upstream.server.stop())
            for streamed in (False, True):
                stale = ask(served, {**body, "stream": streamed})
                assert (stale.status, stale.headers["x-holdfast-cache"]) == (200, "stale"), stale.body
                text = Told(stale.body).text if streamed else stale.json()["choices"][0]["message"]["content"]
                assert text == sentence("오래된 질문")
            never = ask(served, chat("새 질문", "gpt"))
            assert never.status in (502, 503)
            assert never.json()["error"]["type"] in ("api_connection_error", "overloaded_error")
            for streamed in (False, True):
                said = ask(served, chat("무엇이든", "sorry", stream=streamed))
                assert (said.status, said.headers["x-holdfast-degraded"]) == (200, "true")
                assert "잠시 후 다시 물어봐 주세요." in said.body.decode()
            passages = [{"id": "1", "text": "서울의 인구는 약 940만 명이다."}]
            quoted = ask(served, chat("서울의 인구는 얼마입니까?", "quoting", passages=passages))
            assert (quoted.headers["x-holdfast-degraded"], quoted.json()["degraded"]) == ("true", True)
            assert "940만" in quoted.json()["choices"][0]["message"]["content"]
            assert quoted.json()["generated_by"] == "extractive"


def test_a_short_retry_after_is_obeyed_and_a_long_one_passed_on(tmp_path: Path, upstream: Upstream) -> None:
    toml = deployment("limited", upstream.url, "limited+429-retry-after-ms:700", attempts=2)
    toml += table("llm.models.limited", total_s=20)
    toml += deployment("limited-long", upstream.url, "limited+429-retry-after:90")
    toml += table("llm.models.limited-long", total_s=20)
    with gateway(tmp_path, toml) as served:
        assert ask(served, chat("기다려", "limited")).status == 429
        first, second = upstream.calls("limited+429-retry-after-ms:700")
        assert first.ended_s is not None
        assert second.began_s - first.ended_s >= 0.69
        for _ in range(3):
            refused = ask(served, chat("기다려", "limited-long"))
            assert (refused.status, refused.json()["error"]["type"]) == (429, "rate_limit_error")
            assert 80 < int(refused.headers["retry-after"]) <= 91
        assert len(upstream.calls("limited+429-retry-after:90")) == 1


# -- an orderly stop -------------------------------------------------------------------------------

OPEN = 300


def test_hundreds_of_open_streams_end_with_done_or_say_why_when_the_process_is_told_to_stop(
    tmp_path: Path, upstream: Upstream
) -> None:
    toml = table("edge", stream_grace_s=1.0) + deployment("paced", upstream.url, "open+paced:0.4")
    toml += deployment("stalls", upstream.url, "open+stall-mid-stream:2", idle_s=120.0)
    with gateway(tmp_path, toml) as served:
        raws, code = asyncio.run(open_and_stop(served))
    assert code == 0
    assert len(raws) == OPEN
    for raw in raws:
        told = Told(raw)
        assert told.is_done or [error["code"] for error in told.errors], raw[-300:]
    assert sum(1 for raw in raws if Told(raw).errors) >= OPEN // 2
    calls = upstream.calls("open+stall-mid-stream:2") + upstream.calls("open+paced:0.4")
    rows = [row for row in ledger(tmp_path) if row["attempt"]]
    assert len(calls) == len(rows) == OPEN
    assert {row["outcome"] for row in rows} <= {"ok", "cancelled"}
    assert all(row["tokens_out"] > 0 for row in rows)
    wait_until(lambda: all(call.ended_s is not None for call in upstream.calls("open+stall-mid-stream:2")))


def test_what_a_stop_cuts_has_its_row(tmp_path: Path, upstream: Upstream) -> None:
    toml = table("server", drain_s=0.0, grace_s=2.0) + deployment("hangs", upstream.url, "stop+silent")
    with gateway(tmp_path, toml) as served, begun(served, chat("끝나지 않는다", "hangs")):
        wait_until(lambda: upstream.calls("stop+silent"))
        assert served.stop() == 0
    (row,) = ledger(tmp_path)
    assert (row["outcome"], row["estimated"]) == ("cancelled", 1)


async def open_and_stop(served: Served) -> tuple[list[bytes], int]:
    """Open the streams, stop the process once each has begun, and read each to its end."""
    begun = 0
    all_begun = asyncio.Event()
    limits = httpx.Limits(max_connections=OPEN, max_keepalive_connections=0)
    base = f"http://127.0.0.1:{served.port}"
    async with httpx.AsyncClient(base_url=base, timeout=PATIENCE_S, limits=limits) as client:

        async def one(number: int) -> bytes:
            nonlocal begun
            model = "paced" if number % 2 else "stalls"
            body = chat(f"{number}번 흐름 " + "길게 " * 40, model, stream=True)
            raw = b""
            async with client.stream("POST", CHAT, json=body) as response:
                assert response.status_code == 200
                async for data in response.aiter_bytes():
                    if not raw:
                        begun += 1
                        if begun == OPEN:
                            all_begun.set()
                    raw += data
            return raw

        streams = [asyncio.create_task(one(number)) for number in range(OPEN)]
        await asyncio.wait_for(all_begun.wait(), PATIENCE_S)
        code = await asyncio.to_thread(served.stop)
        return list(await asyncio.gather(*streams)), code
