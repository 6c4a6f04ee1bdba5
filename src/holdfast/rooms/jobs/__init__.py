"""Background work that loses nothing: a job is a row, and the row is the truth.

Enqueued in the caller's own transaction if wanted, run by workers in the server, beside it or under Celery,
tried again by what went wrong, picked up at once when its worker dies, kept as a dead letter in the end.
"""
