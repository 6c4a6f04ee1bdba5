"""Pure decisions of the knowledge room."""
