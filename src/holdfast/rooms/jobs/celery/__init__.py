"""Celery as the muscle: the broker carries ids, Celery's workers claim the rows; the ledger stays the truth.

Messages are acknowledged as soon as a pool takes them, not when the job has ended. A late acknowledgement
would bring Redis's visibility timeout into play, which runs from the delivery and has no heartbeat: jobs that
outlast it are given out a second time while they run. Here a worker that dies before it has claimed leaves a
row that was told of and not claimed, which is told of again; one that dies afterwards leaves a row that is
rescued like any other.
"""
