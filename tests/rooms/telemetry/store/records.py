"""Records and child processes that the store's tests share."""

import subprocess
import sys
from pathlib import Path

from holdfast.kernel.event import Event, JobRun, LlmCall, LogLine, ProductEvent, Record, Span

STAMP = "2025-06-15T15:06:40.250Z"
MEGABYTE = 1024 * 1024

ONE_OF_EACH: list[Record] = [
    Event(
        timestamp=STAMP,
        trace_id="0af7651916cd43dd8448eb211c80319c",
        request_id="r-1",
        user_id="김철수",
        method="GET",
        path="/상품/42",
        route="/상품/{id}",
        status=200,
        duration_ns=123_456,
        sampled=True,
        facts={
            "cache": "hit",
            "share": 0.5,
            "rows": 3,
            "none": None,
            "list": [1, "둘"],
            "nested": {"a": {"b": 1}},
        },
    ),
    LogLine(timestamp=STAMP, level="warning", logger="shop", message="결제 한도 초과"),
    Span(timestamp=STAMP, name="load profile", parent_id="00f067aa0ba902b7", duration_ns=1),
    ProductEvent(timestamp=STAMP, action="bought", user_id="u", facts={"item": "A-17", "price": 39_000}),
    JobRun(timestamp=STAMP, job="train", queue="slow", attempt=2, outcome="failure", error_type="OSError"),
    LlmCall(timestamp=STAMP, provider="local", model="m", input_tokens=7, output_tokens=9, cost=0.25),
]

ODD_TEXTS = [
    "first\nsecond\r\nthird",
    "\x1b[31mred\x1b[0m\x07",
    "nul \x00 in the middle\x00",
    "quotes ' \" \\ and {braces} [[",
    "\u2028 line separator, \ufeff mark, \U0001f600 beyond the plane",
    "한글과 ' 漢字",
]


def child(script: str, *arguments: str | Path) -> subprocess.Popen[str]:
    """A Python process that runs `script`, its output in a pipe."""
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stdin=subprocess.PIPE,
        text=True,
        bufsize=1,
    )


def output_of(script: str, *arguments: str | Path) -> str:
    """What a child printed; it must end well."""
    process = child(script, *arguments)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    return out
