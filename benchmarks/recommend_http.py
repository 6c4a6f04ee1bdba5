"""Recommendations over HTTP at Gowalla's 41,000 items: p95 against a bare FastAPI handler in the same run.

Everything through the front door: items and interactions are imported and the model is trained with the
command line, then `holdfast serve` answers POST /api/v2/recommend/personalized with 20 items, explained,
diverse, with an exploration slot, for a different user each time. One connection, rounds interleaved with a
FastAPI app that returns a constant. Items are given made-up names and tags, so that content, its explanation
and its diversity are paid for as well; the check-ins are Gowalla's own.
"""

import contextlib
import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.apps.load import Connection, get, post
from benchmarks.apps.serving import ROOT, child, folder, free_port
from benchmarks.harness import Row, at_most, data_folder, main, median, percentile, shown

USERS = 29_858
HOST = "127.0.0.1"
PERSONALIZED = "/api/v2/recommend/personalized"
FEEDBACK = "/api/v2/recommend/feedback"


def write_files(place: Path, users: int) -> tuple[Path, Path]:
    """Items with names and tags, and the train split as `user item item ...` lines."""
    import numpy as np
    from scipy.sparse import load_npz

    pairs = load_npz(data_folder("gowalla") / "s_adj_mat.npz").tocsr()[:USERS]
    items, log = place / "items.csv", place / "train.txt"
    with items.open("w") as out:
        out.write("id,name,tags\n")
        for item in range(pairs.shape[1] - USERS):
            out.write(
                f"{item},place {item} of district {item % 211},district {item % 211}|kind {item % 37}\n"
            )
    with log.open("w") as out:
        for user in range(users):
            row = np.sort(pairs.indices[pairs.indptr[user] : pairs.indptr[user + 1]]) - USERS
            out.write(" ".join(map(str, [user, *row.tolist()])) + "\n")
    return items, log


def command(env: dict[str, str], *words: str) -> float:
    """One `holdfast` command; the seconds it took."""
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "holdfast.cli", *words],
        cwd=ROOT,
        env={**os.environ, **env},
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return time.perf_counter() - started


def timed(port: int, requests: Iterator[bytes], count: int) -> list[float]:
    """Milliseconds of each of `count` requests, one after the other on one connection."""
    connection = Connection((HOST, port), b"")
    found = []
    with selectors.DefaultSelector() as selector:
        selector.register(connection.socket, selectors.EVENT_READ)
        for _ in range(count):
            connection.request = next(requests)
            connection.send()
            whole = False
            while not whole:
                selector.select(5.0)
                whole = connection.take()
            found.append((time.perf_counter() - connection.sent_at) * 1e3)
            if connection.failed:
                raise RuntimeError("the server answered with an error")
    connection.socket.close()
    return found


def wishes(users: int, explain: bool) -> Iterator[bytes]:
    user = 0
    while True:
        body = {"user_id": str(user % users), "limit": 20, "explain": explain, "diversity": 0.3}
        yield post(HOST, PERSONALIZED, json.dumps(body).encode())
        user += 7919


def constant() -> Iterator[bytes]:
    while True:
        yield get(HOST, "/items/7")


def feedback(users: int) -> Iterator[bytes]:
    number = 0
    while True:
        body = {"user_id": str(number % users), "item_id": str(number * 31 % 40_981), "type": "view"}
        yield post(HOST, FEEDBACK, json.dumps(body).encode())
        number += 7919


def run(quick: bool) -> list[Row]:
    users, turns, count = (3_000, 3, 150) if quick else (USERS, 7, 400)
    with contextlib.ExitStack() as stack:
        place = stack.enter_context(folder())
        # Every answer computed, none refused: neither the limits nor the cache are what is measured here.
        off = {"HOLDFAST_LIMITS_ENABLED": "false", "HOLDFAST_RECOMMEND_REPEAT": "false"}
        env = {"HOLDFAST_DATA_DIR": str(place / "data"), **off}
        items, log = write_files(place, users)
        lines = sum(len(line.split()) - 1 for line in log.read_text().splitlines())
        item_s = command(env, "import", "items", str(items))
        log_s = command(env, "import", "interactions", str(log), "--format", "adjacency")
        train_s = command(env, "recommend", "train")
        ports = free_port(), free_port()
        ours = stack.enter_context(
            child("holdfast.cli", "serve", "--port", str(ports[0]), port=ports[0], env=env)
        )
        bare = stack.enter_context(
            child("benchmarks.apps.overhead_app", "bare", str(ports[1]), str(place), port=ports[1])
        )
        kinds = {
            "bare": (bare.port, constant()),
            "explained": (ours.port, wishes(users, True)),
            "plain": (ours.port, wishes(users, False)),
            "feedback": (ours.port, feedback(users)),
        }
        for port, requests in kinds.values():
            timed(port, requests, 50)
        rounds = [
            {name: timed(port, requests, count) for name, (port, requests) in kinds.items()}
            for _ in range(turns)
        ]
    return _rows(rounds, item_s, log_s, train_s, lines)


def _rows(
    rounds: list[dict[str, list[float]]], item_s: float, log_s: float, train_s: float, lines: int
) -> list[Row]:
    def p95(name: str) -> float:
        return median([percentile(turn[name], 0.95) for turn in rounds])

    def ratio(name: str) -> float:
        return median([percentile(turn[name], 0.95) / percentile(turn["bare"], 0.95) for turn in rounds])

    bare = f"{p95('bare'):.2f} ms"
    return [
        at_most(
            "recommend 20 of 41k items over HTTP, explained and diverse: p95 / bare handler",
            f"{p95('explained'):.2f} ms",
            ratio("explained"),
            25,
            10,
            bare=bare,
            p50=f"{median([median(turn['explained']) for turn in rounds]):.2f} ms",
        ),
        shown("same without explanation", f"{p95('plain'):.2f} ms", ratio("plain")),
        shown("one feedback event, durable: p95", f"{p95('feedback'):.2f} ms", ratio("feedback")),
        shown("import 40,981 items", f"{item_s:.1f} s"),
        shown(f"import {lines:,} interactions", f"{log_s:.1f} s ({lines / max(log_s, 0.1):,.0f}/s)"),
        shown("train: back-test, fit, gate, swap", f"{train_s:.1f} s"),
    ]


if __name__ == "__main__":
    main(run, __doc__.split("\n", 1)[0])
