"""Health: alive, ready, and how every dependency is, from checks that run in the background.

Public: `HealthRoom`, `Config` in `room.py`; the verdicts in `rules.py`; `HealthEngine` in `engine.py`.
"""
