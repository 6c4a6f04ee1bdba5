"""The ground of every room: clock, ids, codec, settings, tasks, errors, record. Imports nothing of ours."""
