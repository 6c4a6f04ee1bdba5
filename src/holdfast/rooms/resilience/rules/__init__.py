"""Pure decisions of the resilience room."""
