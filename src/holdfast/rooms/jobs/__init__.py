"""Background work that loses nothing: a job is a row that outlives every process."""
