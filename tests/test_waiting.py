"""What all tests wait with: it ends as soon as it may, and says what it waited for in vain."""

import asyncio
import threading

import pytest

from tests.waiting import until, wait_until


async def test_the_wait_ends_with_what_was_found():
    found = []
    asyncio.get_running_loop().call_later(0.05, found.append, 1)
    assert await until(lambda: found) == [1]


async def test_what_is_given_to_await_counts():
    left = [3, 0, 0]

    async def last():
        return left.pop()

    assert await until(last) == 3


async def test_a_wait_in_vain_says_what_for():
    with pytest.raises(AssertionError, match=r"not within 0.01 s: the moon is full"):
        await until(lambda: False, "the moon is full", patience_s=0.01)
    with pytest.raises(AssertionError, match=r"it stood at 7"):
        await until(lambda: False, lambda: f"it stood at {7}", patience_s=0.01)
    with pytest.raises(AssertionError, match=r"until\(lambda: None.*test_waiting\.py:\d+"):
        await until(lambda: None, patience_s=0.01)


def test_a_thread_waits_alike():
    over = threading.Event()
    threading.Timer(0.02, over.set).start()
    assert wait_until(over.is_set) is True
    with pytest.raises(AssertionError, match=r"wait_until\(lambda: \[\]"):
        wait_until(lambda: [], patience_s=0.01)


def test_only_the_errors_named_are_no_answer_yet():
    answers = [3, OSError("not up"), OSError("not up")]

    def ask():
        answer = answers.pop()
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert wait_until(ask, despite=(OSError,)) == 3
    answers.append(ValueError("wrong"))
    with pytest.raises(ValueError, match="wrong"):
        wait_until(ask, despite=(OSError,))
