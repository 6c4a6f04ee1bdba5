"""What carries it out: memory, flights, the second tier, sessions."""
