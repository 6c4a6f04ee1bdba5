"""Real processes that share a breaker through a real server."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parents[4]


class Process:
    """A child and its two pipes."""

    def __init__(self, url, lease_s):
        self.running = subprocess.Popen(
            [sys.executable, "-m", "tests.rooms.resilience.child", url, str(lease_s)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def say(self, command):
        self.running.stdin.write(f"{command}\n")
        self.running.stdin.flush()

    def hear(self):
        return self.running.stdout.readline().strip()

    def kill(self):
        self.running.kill()
        self.running.communicate()


@pytest.fixture
def begin(own_redis):
    """`begin(lease_s)`: two processes that are ready."""
    children = []

    def two(lease_s):
        children.extend(Process(own_redis.url, lease_s) for _ in range(2))
        assert [child.hear() for child in children] == ["ready", "ready"]
        return children

    yield two
    for child in children:
        child.kill()


def count(server, key):
    return int(server.ask("GET", key) or 0)


def test_forty_callers_in_two_processes_at_a_half_open_breaker_and_one_passes(own_redis, begin):
    processes = begin(lease_s=60)
    processes[0].say("open")
    assert processes[0].hear() == "open"
    for child in processes:
        child.say("burst")
    wait_until(lambda: count(own_redis, "refused") == 39, "all but one are refused")
    wait_until(lambda: count(own_redis, "reached"), "the one is let in")
    assert count(own_redis, "reached") == 1
    own_redis.ask("SET", "go", "1")
    assert sorted(child.hear() for child in processes) == ["0 20", "1 19"]


def test_when_the_holder_of_the_probe_is_killed_its_lease_expires_and_another_probes(own_redis, begin):
    holder, other = begin(lease_s=3600)  # which ends because the test says so
    holder.say("open")
    assert holder.hear() == "open"
    holder.say("persist")
    wait_until(lambda: count(own_redis, "reached") == 1, "the probe is under way")
    holder.kill()
    own_redis.ask("SET", "go", "1")
    before = count(own_redis, "refused")
    other.say("persist")
    wait_until(
        lambda: count(own_redis, "refused") > before, "nobody passes while the lease of the dead lives"
    )
    assert count(own_redis, "reached") == 1
    own_redis.ask("HSET", "holdfast:resilience:{pay}", "lease_until", 1)
    assert int(other.hear()) > 0
    assert count(own_redis, "reached") == 2
