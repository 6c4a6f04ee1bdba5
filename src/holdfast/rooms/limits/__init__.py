"""Who may come in, how often and in which order: rate limits by policy, and load shedding, at the front door."""
