"""Who may come in, how often and in which order: limits by policy, and load shedding, at the door."""
