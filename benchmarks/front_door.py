"""What limits and shedding cost at the front door: throughput with them on, over without.

Both servers are `holdfast serve` with everything else on; one of them decides upon every request (api_call
by address, with tier, hour and load; a place from the shedder; the headers) and refuses none. slowapi is
shown as it is used: one limit, around the same bare app, over that bare app under the same uvicorn.
Rounds are interleaved; each figure is the median of the rounds' own ratios.
"""

import contextlib

from benchmarks.apps.serving import child, folder, free_port, load
from benchmarks.harness import Row, at_least, main, median, shown

EMPTY = "/items/7"
CONNECTIONS = 16
NAMES = ("holdfast", "protected", "bare", "slowapi")


def run(quick: bool) -> list[Row]:
    # Short turns, many of them: the machine drifts by more within seconds than what is measured.
    seconds, turns = (0.25, 41) if quick else (0.5, 121)
    rounds = []
    with contextlib.ExitStack() as stack:
        ports = {}
        for name in NAMES:
            place = stack.enter_context(folder())
            ports[name] = free_port()
            stack.enter_context(
                child("benchmarks.apps.overhead_app", name, str(ports[name]), str(place), port=ports[name])
            )
        for port in ports.values():
            load(port, EMPTY, CONNECTIONS, 0.5)
        for turn in range(turns):
            found = {}
            for name in NAMES if turn % 2 else reversed(NAMES):
                result = load(ports[name], EMPTY, CONNECTIONS, seconds)
                assert not result["errors"], f"{name} refused {result['errors']} requests"
                found[name] = result
            rounds.append(found)
    return [
        at_least(
            "front door with limits and shedding on, over without: throughput",
            f"{_rps(rounds, 'protected'):.0f}/s",
            _ratio(rounds, "protected", "holdfast"),
            0.97,
            0.98,
            without=f"{_rps(rounds, 'holdfast'):.0f}/s",
            slowapi_over_bare=round(_ratio(rounds, "slowapi", "bare"), 3),
        ),
        shown(
            "the same, p99",
            f"{median([each['protected']['p99_ms'] for each in rounds]):.2f} ms",
            median([each["protected"]["p99_ms"] / each["holdfast"]["p99_ms"] for each in rounds]),
        ),
    ]


def _rate(result: dict[str, float]) -> float:
    return result["requests"] / result["seconds"]


def _rps(rounds: list[dict[str, dict[str, float]]], name: str) -> float:
    return median([_rate(each[name]) for each in rounds])


def _ratio(rounds: list[dict[str, dict[str, float]]], name: str, over: str) -> float:
    return median([_rate(each[name]) / _rate(each[over]) for each in rounds])


if __name__ == "__main__":
    main(run, __doc__.split("\n", 1)[0])
