"""Who may come in, how often and in which order: limits by policy, and load shedding, at the door.

Public: `LimitsRoom`, `Config` in `room.py`; `TooManyRequests` in `rules/problems.py`; `Limits` in
`engine/handles.py`; `Shedder` in `engine/shedder.py`; `SharedLedger` in `engine/shared.py`.
"""
