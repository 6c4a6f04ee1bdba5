"""What metrics, cardinality and their text formats are, decided without clock or I/O."""
