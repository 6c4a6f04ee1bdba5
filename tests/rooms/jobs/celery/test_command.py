"""The command line of Celery's workers."""

import pytest

from holdfast.celery import THREADS, command


@pytest.mark.parametrize(
    ("pool", "concurrency", "slots"),
    [
        ("threads", 0, ["-c", str(THREADS)]),
        ("threads", 3, ["-c", "3"]),
        ("prefork", 0, []),
        ("prefork", 2, ["-c", "2"]),
        ("solo", 0, []),
    ],
)
def test_threads_wait_and_processes_compute(pool, concurrency, slots):
    line = command(pool=pool, concurrency=concurrency)
    assert line[line.index("-P") + 1] == pool
    assert line[line.index("-c") :] == slots if slots else "-c" not in line


def test_it_serves_the_queues_that_are_named():
    line = command(["ai", "rag"])
    assert line[line.index("-Q") + 1] == "ai,rag"
    assert "-Q" not in command()
