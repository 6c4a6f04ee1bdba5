"""The room's addresses, a file for each family."""
