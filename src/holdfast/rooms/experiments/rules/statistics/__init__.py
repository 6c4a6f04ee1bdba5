"""How an experiment is judged: plans, sums, tests, corrections, a verdict."""
