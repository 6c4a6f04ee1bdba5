"""What carries the rules out: the catalogue in memory, people from SQL, scoring, training, imports."""
