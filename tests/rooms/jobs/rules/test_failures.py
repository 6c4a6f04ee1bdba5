import asyncio
import errno
import json
import sqlite3
import zipfile
from concurrent.futures import CancelledError as FutureCancelled

import aiohttp
import httpx
import msgspec
import pytest

from holdfast.kernel.errors import BadInput, Conflict, Internal, NotFound, Problem, Unavailable
from holdfast.ports.jobs import JobCancelled, JobFailed
from holdfast.rooms.jobs.rules.failures import LONGEST_ERROR, Failure, judge
from holdfast.rooms.jobs.rules.kinds import Kinds


def out_of_budget() -> Problem:
    """As the llm room raises it, which need not be here: a class of this code is that room's alone."""
    problem = Internal("no money")
    problem.code, problem.status = "budget-exceeded", 429
    return problem


class Odd(Problem):
    """Odd."""

    status = 418


def answered(status: int, **headers: str) -> httpx.HTTPStatusError:
    request = httpx.Request("GET", "https://example.org")
    response = httpx.Response(
        status, request=request, headers={k.replace("_", "-"): v for k, v in headers.items()}
    )
    return httpx.HTTPStatusError("no", request=request, response=response)


def caused(error: BaseException, by: BaseException) -> BaseException:
    error.__cause__ = by
    return error


CASES = [
    (JobFailed("quota", "no pages left"), "quota"),
    (JobCancelled(), "cancelled"),
    (asyncio.CancelledError(), "cancelled"),
    (FutureCancelled(), "cancelled"),
    (TimeoutError(), "timeout"),
    (TimeoutError(), "timeout"),
    (ConnectionResetError(), "network"),
    (MemoryError(), "out_of_memory"),
    (OSError(errno.ENOSPC, "full"), "storage"),
    (OSError(errno.EDQUOT, "quota"), "storage"),
    (OSError(errno.ENOMEM, "memory"), "out_of_memory"),
    (OSError(errno.EHOSTUNREACH, "no route"), "network"),
    (OSError("of no number"), "unknown"),
    (PermissionError(errno.EACCES, "no"), "auth"),
    (FileNotFoundError(errno.ENOENT, "no"), "not_found"),
    (FileNotFoundError("without a number"), "not_found"),
    (FileExistsError(), "conflict"),
    (msgspec.ValidationError("x"), "validation"),
    (msgspec.DecodeError("x"), "corrupt_input"),
    (json.JSONDecodeError("x", "", 0), "corrupt_input"),
    (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "x"), "corrupt_input"),
    (zipfile.BadZipFile(), "corrupt_input"),
    (EOFError(), "corrupt_input"),
    (NotImplementedError(), "unsupported"),
    (ModuleNotFoundError(), "unsupported"),
    (sqlite3.IntegrityError(), "conflict"),
    (sqlite3.OperationalError(), "dependency"),
    (ValueError("ours"), "unknown"),
    (KeyError("ours"), "unknown"),
    (BadInput("x"), "validation"),
    (NotFound(), "not_found"),
    (Conflict(), "conflict"),
    (Unavailable(), "provider_down"),
    (Internal(), "unknown"),
    (out_of_budget(), "quota"),
    (Odd(), "validation"),
    (answered(429), "rate_limited"),
    (answered(500), "temporary"),
    (answered(503), "provider_down"),
    (answered(401), "auth"),
    (answered(418), "validation"),
    (httpx.ReadTimeout("x"), "timeout"),
    (httpx.ConnectError("x"), "network"),
    (aiohttp.ServerTimeoutError(), "timeout"),
    (aiohttp.ServerDisconnectedError(), "network"),
    (caused(RuntimeError("wrapped"), TimeoutError()), "timeout"),
    (caused(BadInput("judged by itself"), TimeoutError()), "validation"),
    (ExceptionGroup("all", [TimeoutError(), TimeoutError()]), "timeout"),
    (ExceptionGroup("mixed", [TimeoutError(), MemoryError()]), "unknown"),
]


@pytest.mark.parametrize(("error", "kind"), CASES, ids=lambda value: repr(value)[:40])
def test_an_exception_has_a_kind(error, kind):
    assert judge(error).kind == kind
    assert kind in Kinds()


def test_the_users_mapping_wins_and_the_nearest_class_in_it():
    class Held(TimeoutError):
        pass

    own = {Exception: "temporary", Held: "conflict"}
    assert judge(Held(), own).kind == "conflict"
    assert judge(TimeoutError(), own).kind == "temporary"
    assert judge(JobFailed("auth"), own).kind == "auth", "what the job says itself is not mapped"


@pytest.mark.parametrize(
    ("error", "wait_s"),
    [
        (JobFailed("rate_limited", retry_after_s=7.5), 7.5),
        (Unavailable("x", retry_after_s=3.0), 3.0),
        (answered(429, retry_after="12"), 12.0),
        (answered(429, retry_after="Wed, 21 Oct 2026 07:28:00 GMT"), None),
        (answered(429), None),
        (TimeoutError(), None),
    ],
)
def test_a_pause_is_taken_from_where_it_stands(error, wait_s):
    assert judge(error).retry_after_s == wait_s


def test_the_words_name_the_class_say_the_hint_and_fit_a_row():
    assert judge(ValueError("한글")).error == "ValueError: 한글"
    assert judge(ValueError()).error == "ValueError"
    assert judge(JobFailed("quota", "no pages left")) == Failure("quota", "no pages left")
    assert judge(BadInput("bad", hint="mend it")).error == "BadInput: bad (mend it)"
    odd = judge(ValueError("\ud800\0" + "x" * 5000)).error
    assert len(odd) <= LONGEST_ERROR
    assert "\0" not in odd.encode().decode()


def test_a_ring_of_causes_ends():
    first, second = RuntimeError("a"), RuntimeError("b")
    first.__cause__, second.__cause__ = second, first
    assert judge(first).kind == "unknown"
