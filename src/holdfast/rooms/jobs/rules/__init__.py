"""The decisions of jobs: pure functions of rows, settings and the time."""
