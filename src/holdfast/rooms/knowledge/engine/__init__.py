"""What carries the decisions of the knowledge room out."""
