"""The page says what the code does: kinds, states, ends."""

import re
from pathlib import Path

from holdfast.rooms.jobs.rules.kinds import DEFAULT
from holdfast.rooms.jobs.rules.states import NEXT

PAGE = Path(__file__).parents[4] / "docs" / "rooms" / "jobs.md"


def rows(heading: str) -> list[tuple[str, ...]]:
    """The cells of the first table below a heading."""
    part = PAGE.read_text("utf-8").split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    lines = re.findall(r"^\|(.+)\|$", part, re.MULTILINE)[2:]
    return [tuple(cell.strip().strip("`") for cell in line.split("|")) for line in lines]


def test_the_table_of_kinds_is_the_one_in_the_code():
    def line(kind):
        delays = ", ".join(f"{delay_s:g}" for delay_s in kind.policy.delays_s) or "never"
        return kind.name, delays, "heeds" if kind.policy.heeds_retry_after else "", kind.meaning

    assert rows("Error kinds") == [line(kind) for kind in DEFAULT]


def test_the_table_of_states_is_the_one_in_the_code():
    assert rows("States") == [
        (state, after, why) for state, follows in NEXT.items() for after, why in follows.items()
    ]
