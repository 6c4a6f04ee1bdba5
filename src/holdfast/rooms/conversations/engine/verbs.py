"""The room's commands: conversations export, conversations erase."""

import argparse
import sys
from collections.abc import Callable, Sequence

from holdfast.kernel.codec import encode_json
from holdfast.kernel.room import Verb
from holdfast.rooms.conversations.engine.engine import Conversations
from holdfast.rooms.conversations.engine.views import listing, transcript

_PART = 500


class Verbs:
    """The commands, run by the CLI after the rooms have started."""

    def __init__(self, engine: Callable[[], Conversations]) -> None:
        self._engine = engine

    def all(self) -> Sequence[Verb]:
        return (
            Verb("conversations export", "everything of a user, one conversation a line", self.export, _user),
            Verb("conversations erase", "remove everything of a user", self.erase, _user),
        )

    async def export(self, options: argparse.Namespace) -> int:
        """JSON lines on standard output; how many there were on standard error."""
        engine, after, count = self._engine(), "", 0
        while True:
            part = await listing(engine, options.user, after, _PART)
            for one in part.conversations:
                kept, messages = await engine.log(options.user, one.conversation_id, 0, sys.maxsize)
                print(encode_json(transcript(kept, messages, len(messages))).decode())
                count += 1
            if part.next_after is None:
                break
            after = part.next_after
        print(f"{count:,} conversations", file=sys.stderr)
        return 0

    async def erase(self, options: argparse.Namespace) -> int:
        count = await self._engine().erase_user(options.user)
        print(f"erased {count:,} conversations")
        return 0


def _user(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("user", metavar="USER", help="the user id")
