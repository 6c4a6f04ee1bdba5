"""Recommendations over a catalogue, explained, fresh with every event, and never an item seen or hidden.

An ensemble of collaborative, content and persona scores; each answer's parts add up to its scores.
`room.RecommendRoom` is what `app.py` wires, `room.Config` the `[recommend]` section.
"""
