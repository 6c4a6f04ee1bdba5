"""Which script belongs to which fault."""

from holdfast.rooms.faults.rules.scripts import cut, late, refused, wrong
from holdfast.rooms.faults.rules.scripts.steps import Scene, Script, Write

SCRIPTS: dict[str, Write] = {**refused.SCRIPTS, **late.SCRIPTS, **cut.SCRIPTS, **wrong.SCRIPTS}
"""One for every fault of the table."""


def script_of(scene: Scene) -> Script:
    """The steps of this scene's fault."""
    return SCRIPTS[scene.fault.name](scene)
