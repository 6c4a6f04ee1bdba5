"""What the layer costs: throughput and p99 with everything on, over bare FastAPI, beside the usual glue.

Everything on: ids, W3C trace context, metrics, one JSON line on disk a request, root spans of all.
`holdfast` is the app as `holdfast serve` serves it; `attached` is the same app with the layer attached
under the plain uvicorn that bare and the peers get. `holdfast serve` writes a response with one system
call where uvicorn makes two, which pays for much of the layer: the row `bare, our server` shows by how
much, and the attached row what the layer costs without it.
Rounds are interleaved, each figure is the median of the rounds' own ratios to bare.
"""

import contextlib
from collections.abc import Sequence

from benchmarks.apps.overhead_app import VARIANTS
from benchmarks.apps.serving import Server, child, folder, free_port, load
from benchmarks.harness import Row, at_least, at_most, main, median, shown

EMPTY = "/items/7"
BUSY = "/busy/7"
CONNECTIONS = 16


def _round(servers: dict[str, Server], path: str, seconds: float) -> dict[str, dict[str, float]]:
    found = {}
    for name, server in servers.items():
        before = server.cpu_s()
        result = load(server.port, path, CONNECTIONS, seconds)
        result["rps"] = result["requests"] / result["seconds"]
        result["cpu_us"] = (server.cpu_s() - before) / result["requests"] * 1e6
        found[name] = result
    return found


def _ratios(rounds: Sequence[dict[str, dict[str, float]]], name: str, key: str) -> float:
    return median([round_[name][key] / round_["bare"][key] for round_ in rounds])


def run(quick: bool) -> list[Row]:
    seconds, turns = (1.0, 3) if quick else (3.0, 7)
    names = (
        ["bare", "holdfast", "attached", "bare, our server", "glue"]
        if quick
        else [name for name in VARIANTS if name != "protected"]
    )
    with contextlib.ExitStack() as stack:
        servers = {}
        for name in names:
            place = stack.enter_context(folder())
            port = free_port()
            servers[name] = stack.enter_context(
                child("benchmarks.apps.overhead_app", name, str(port), str(place), port=port)
            )
        for server in servers.values():
            load(server.port, EMPTY, CONNECTIONS, 0.5)
        empty = [_round(servers, EMPTY, seconds) for _ in range(turns)]
        few = {name: servers[name] for name in ("bare", "holdfast", "attached", "glue")}
        busy = [_round(few, BUSY, seconds) for _ in range(turns)]
    return _rows(names, empty, busy)


def _rows(names: Sequence[str], empty: list, busy: list) -> list[Row]:  # type: ignore[type-arg] # rounds as above
    peers = [name for name in names if name not in ("bare", "holdfast", "attached", "bare, our server")]
    rows = []
    for name in ("holdfast", "attached"):
        rows += [
            at_least(
                f"{name} / bare FastAPI, empty handler: throughput",
                f"{median([round_[name]['rps'] for round_ in empty]):.0f}/s",
                _ratios(empty, name, "rps"),
                0.90,
                0.95,
                bare=f"{median([round_['bare']['rps'] for round_ in empty]):.0f}/s",
                glue=round(_ratios(empty, "glue", "rps"), 3),
            ),
            at_least(
                f"{name}, handler with 0.5 ms of its own CPU: throughput",
                f"{median([round_[name]['rps'] for round_ in busy]):.0f}/s",
                _ratios(busy, name, "rps"),
                0.97,
                0.98,
                glue=round(_ratios(busy, "glue", "rps"), 3),
            ),
            at_most(
                f"{name}, p99 against bare, empty handler",
                f"{median([round_[name]['p99_ms'] for round_ in empty]):.2f} ms",
                _ratios(empty, name, "p99_ms"),
                1.2,
                1.1,
                glue=round(_ratios(empty, "glue", "p99_ms"), 2),
            ),
        ]
    cpu = {
        name: round(_ratios(empty, name, "cpu_us"), 2) for name in names if name not in ("bare", "holdfast")
    }
    rows.append(
        shown(
            "holdfast: server CPU a request over bare, empty handler",
            f"{median([round_['holdfast']['cpu_us'] for round_ in empty]):.0f} us",
            _ratios(empty, "holdfast", "cpu_us"),
            **cpu,
        )
    )
    rows.append(
        shown("bare, our server: throughput over bare", None, _ratios(empty, "bare, our server", "rps"))
    )
    return rows + [
        shown(f"peer {name}: throughput over bare", None, _ratios(empty, name, "rps")) for name in peers
    ]


if __name__ == "__main__":
    main(run, __doc__.split("\n", 1)[0])
