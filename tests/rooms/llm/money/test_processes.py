"""Real processes that share budgets: none overspends together, and what a killed one held comes back."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[4]


class Process:
    """A child and its two pipes."""

    def __init__(self, url, folder):
        self.running = subprocess.Popen(
            [sys.executable, "-m", "tests.rooms.llm.money.child", url, str(folder)],
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


@pytest.fixture(params=["redis", "sqlite", "postgresql"])
def begin(request, tmp_path):
    """`begin(n)`: that many processes, all ready."""
    if request.param == "redis":
        url = request.getfixturevalue("redis_database")
    else:
        database = request.getfixturevalue("sqlite" if request.param == "sqlite" else "postgres")
        url = request.getfixturevalue("postgres_database") if request.param == "postgresql" else ""
        url = url or f"sqlite:///{database.path}"
    children = []

    def some(number):
        children.extend(Process(url, tmp_path) for _ in range(number))
        assert [child.hear() for child in children] == ["ready"] * number
        return children

    yield some
    for child in children:
        child.kill()


async def test_of_sixteen_callers_in_two_processes_with_a_budget_for_one_one_passes(begin):
    processes = begin(2)
    for child in processes:
        child.say("burst 60 600")
    assert sum(int(child.hear()) for child in processes) == 1


async def test_what_a_killed_process_held_comes_back_when_its_lease_is_over(begin):
    holder, other = begin(2)
    # One lease that no pause of this machine outlives, and one that may be over before anybody looks.
    for command in ("take 60 600", "take 40 1"):
        holder.say(command)
        assert holder.hear() == "passed"
    other.say("take 41 600")
    assert other.hear() == "refused"
    holder.kill()
    other.say("persist 40 600")
    assert other.hear() == "passed"
    other.say("take 1 600")
    assert other.hear() == "refused", "the other lease of the dead is not over"
