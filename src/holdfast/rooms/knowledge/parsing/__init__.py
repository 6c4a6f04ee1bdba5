"""Documents to plain text, in a process of its own: `python -m holdfast.rooms.knowledge.parsing`."""
