"""The preset dictionaries of packed states: our own lists of what chats in Korean and English are made of.

Deflate reaches most cheaply what stands near its window's end, so what is rare stands first, and last what is
in every state. A dictionary never changes once states are packed with it: a better one gets a new number
and a file of its own, and the old file stays to read what it has written.
"""

from pathlib import Path

_FOLDER = Path(__file__).parent.parent / "static"


def words(number: int) -> str:
    """Dictionary `number` as text; line breaks are for whoever edits the next one."""
    return " ".join((_FOLDER / f"dictionary-{number}.txt").read_text("utf-8").split())
