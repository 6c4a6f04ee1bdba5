"""Console: one page that shows what is running, with nothing loaded from elsewhere.

Public: `ConsoleRoom`, `Config` in `room.py`; `Status`, what the page is fed with, in `rules.py`.
"""
