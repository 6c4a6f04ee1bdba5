"""A fake model provider whose model names select faults: `holdfast faults`, or `FaultServer` in a test."""

from holdfast.rooms.faults.engine.server import FaultServer

__all__ = ["FaultServer"]
