"""What a script is made of."""

import enum
import hashlib
from collections.abc import Callable, Iterator

import msgspec

from holdfast.rooms.faults.rules.names import Fault
from holdfast.rooms.faults.rules.replies import Reply, ending, framed, reply_head


class Pause(msgspec.Struct, frozen=True):
    """Nothing happens for so long."""

    seconds: float


class End(enum.Enum):
    """How a script ends that does not leave the connection open for the next request."""

    SILENCE = "nothing more, for as long as the client stays"
    CLOSE = "the connection is closed in good order"
    RESET = "the connection is reset"


Step = bytes | Pause | End
Script = Iterator[Step]


class Turn(msgspec.Struct, frozen=True):
    """Which call of this key and model it is."""

    count: int = 1
    since_first_s: float = 0.0
    draw: float = 0.0
    """A number from 0 up to 1 that follows from seed, key, model and count."""
    wall_s: float = 0.0


class Scene(msgspec.Struct, frozen=True):
    """All that a script knows."""

    fault: Fault
    dialect: str
    reply: Reply
    """The healthy answer."""
    turn: Turn


Write = Callable[[Scene], Script]


def draw(seed: int, key: str, model: str, count: int) -> float:
    """A number from 0 up to 1, the same for the same arguments, whatever else goes on."""
    mark = hashlib.blake2b(f"{seed}\0{key}\0{model}\0{count}".encode("utf-8", "replace"), digest_size=8)
    return int.from_bytes(mark.digest(), "big") / 2**64


def healthy(scene: Scene) -> Script:
    """The answer as it is, its head and each part by themselves."""
    yield reply_head(scene.reply)
    yield from body(scene)


def body(scene: Scene) -> Script:
    """The parts of the healthy answer and its end."""
    for part in scene.reply.parts:
        yield framed(scene.reply, part.data)
    yield ending(scene.reply)
