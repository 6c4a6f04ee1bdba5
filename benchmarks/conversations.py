"""Conversations: bytes of a state at rest over real text, and a turn less its model against an empty handler.

State: every article of KorQuAD is a conversation, its questions the messages and the sentences that hold the
answers the answers; English is the prose of Python's own manual, a sentence a message and the next two the
answer. Every state after every turn counts, in the form in which it is stored.

Turn: `POST .../messages` over HTTP to the server of `holdfast serve` with everything written to SQLite and a
model that answers at once, one connection, rounds interleaved with a bare FastAPI handler of a constant.
"""

import contextlib
import json
import time
import urllib.request
from collections.abc import Callable, Iterator

from benchmarks.apps.load import get, post
from benchmarks.apps.serving import child, folder, free_port
from benchmarks.harness import Row, at_most, data_folder, main, median, percentile, shown
from benchmarks.recommend_http import timed
from holdfast.rooms.conversations.rules.sentences import sentences
from holdfast.rooms.conversations.rules.settings import Config
from holdfast.rooms.conversations.rules.state import WINDOW, Exchange, State, catch_up
from holdfast.rooms.conversations.store.packed import packed_within

HOST = "127.0.0.1"
PATH = "/api/v2/conversations"
TURNS = 60
SAID = (
    "우리 온실 {n}번 동에는 토마토가 {n}0그루 있고 물은 아침에 줘요.",
    "How many tomatoes are in greenhouse {n}, and when do I water them?",
    "다음 주 화요일에 비료를 {n}kg 사야 해요. 예산은 {n}만원이에요.",
    "My supplier in Jeonju is called Hanbit Farm, order number {n}.",
    "{n}번 동 토마토는 몇 그루라고 했지?",
)

Conversation = list[tuple[str, str]]


def korean(most: int) -> Iterator[Conversation]:
    """KorQuAD's articles as conversations."""
    file = data_folder("korquad") / "KorQuAD_v1.0_dev.json"
    for article in json.loads(file.read_text("utf-8"))["data"][:most]:
        turns = []
        for paragraph in article["paragraphs"]:
            parts = sentences(paragraph["context"])
            for asked in paragraph["qas"]:
                answer = asked["answers"][0]["text"]
                turns.append((asked["question"], next((part for part in parts if answer in part), answer)))
        yield turns


def english(most: int) -> Iterator[Conversation]:
    """Python's manual as conversations; it comes with every Python."""
    from pydoc_data.topics import topics

    long_enough = [text for _, text in sorted(topics.items()) if len(text) > 4_000]
    for text in long_enough[:most]:
        parts = [part for part in sentences(text.replace("\n", " ")) if len(part) > 15]
        turns = [(parts[at], " ".join(parts[at + 1 : at + 3])) for at in range(0, len(parts) - 3, 3)]
        yield turns[:80]


def states(conversations: Iterator[Conversation]) -> tuple[list[int], list[float], list[int]]:
    """Bytes of every state at rest, microseconds of every fold, and bytes of the same texts as plain JSON."""
    budget = Config().state_bytes
    sizes, micros, plain = [], [], []
    for turns in conversations:
        state = State(persona="assistant")
        said: list[Exchange] = []
        for number, (user, answer) in enumerate(turns, 1):
            said = [*said[-WINDOW - 1 :], Exchange(2 * number, user, answer)]
            started = time.perf_counter()
            state, raw = packed_within(catch_up(state, said), budget)
            micros.append((time.perf_counter() - started) * 1e6)
            sizes.append(len(raw))
            window = [[one.user, one.answer] for one in said[-WINDOW:]]
            plain.append(len(json.dumps([window, " ".join(state.summary)], ensure_ascii=False).encode()))
    return sizes, micros, plain


def state_rows(quick: bool) -> list[Row]:
    rows, every, kinds = [], [], {"Korean": korean, "English": english}
    for name, corpus in kinds.items():
        sizes, micros, plain = states(corpus(15 if quick else 1_000))
        every += sizes
        rows.append(
            at_most(
                f"state at rest, {name}, {len(sizes):,} turns: p95 bytes",
                f"p50 {percentile(sizes, 0.5)} B, p95 {percentile(sizes, 0.95)} B, most {max(sizes)} B",
                percentile(sizes, 0.95),
                1024,
                900,
                plain_json=f"p50 {percentile(plain, 0.5)} B, p95 {percentile(plain, 0.95)} B",
            )
        )
        rows.append(
            shown(
                f"fold, fit and pack a turn, {name}",
                f"p50 {percentile(micros, 0.5):.0f} us, p95 {percentile(micros, 0.95):.0f} us",
            )
        )
    rows.append(at_most("state at rest, both: most bytes of any", f"{max(every)} B", max(every), 1024, 900))
    return rows


def start(port: int) -> str:
    """A new conversation's id."""
    asked = urllib.request.Request(f"http://{HOST}:{port}{PATH}/start", b"{}", method="POST")
    asked.add_header("content-type", "application/json")
    with urllib.request.urlopen(asked) as answer:
        return str(json.load(answer)["conversation_id"])


def messages(port: int) -> Iterator[bytes]:
    """Turns of one conversation after the other, TURNS each: most have a summary and archived turns."""
    while True:
        path = f"{PATH}/{start(port)}/messages"
        for n in range(TURNS):
            body = {"message": SAID[n % len(SAID)].format(n=n // len(SAID) + 1)}
            yield post(HOST, path, json.dumps(body).encode())


def constant() -> Iterator[bytes]:
    while True:
        yield get(HOST, "/items/7")


def turn_rows(quick: bool) -> list[Row]:
    rounds, count = (3, 120) if quick else (9, 600)
    with contextlib.ExitStack() as stack:
        place = stack.enter_context(folder())
        ports = free_port(), free_port()
        ours = stack.enter_context(
            child("benchmarks.apps.conversations_app", str(ports[0]), str(place / "data"), port=ports[0])
        )
        bare = stack.enter_context(
            child("benchmarks.apps.overhead_app", "bare", str(ports[1]), str(place), port=ports[1])
        )
        kinds = {
            "bare": (bare.port, constant()),
            "empty": (ours.port, constant()),
            "turn": (ours.port, messages(ours.port)),
        }
        for port, requests in kinds.values():
            timed(port, requests, 60)
        found = [
            {name: timed(port, requests, count) for name, (port, requests) in kinds.items()}
            for _ in range(rounds)
        ]
    return _turn_rows(found)


def _turn_rows(found: list[dict[str, list[float]]]) -> list[Row]:
    def over(name: str, what: str, figure: Callable[[list[float]], float]) -> float:
        return median([figure(turn[name]) / figure(turn[what]) for turn in found])

    def p95(values: list[float]) -> float:
        return percentile(values, 0.95)

    def told(name: str) -> str:
        p50s, p95s = (median([figure(turn[name]) for turn in found]) for figure in (median, p95))
        return f"p50 {p50s:.2f} ms, p95 {p95s:.2f} ms"

    return [
        at_most(
            "a turn without the model's time, durable: p95 / bare handler",
            told("turn"),
            over("turn", "bare", p95),
            10,
            5,
            bare=told("bare"),
        ),
        shown("same against an empty handler inside Holdfast", told("empty"), over("turn", "empty", p95)),
        shown("same, p50 / bare handler", None, over("turn", "bare", median)),
    ]


def run(quick: bool) -> list[Row]:
    return [*state_rows(quick), *turn_rows(quick)]


if __name__ == "__main__":
    main(run, __doc__.split("\n", 1)[0])
