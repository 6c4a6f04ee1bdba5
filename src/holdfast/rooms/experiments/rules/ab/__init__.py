"""How an experiment lives: what it may be, whom and what it counts, how its sums move, what is told of it."""
