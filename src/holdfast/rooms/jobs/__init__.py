"""Background work that loses nothing: a job is a row, and the row is the truth.

Enqueued in its caller's own transaction if wanted, claimed with a fence, picked up at once when its worker dies,
tried again by what went wrong, stopped when asked, watched live; by workers of our own or through Celery.
"""
