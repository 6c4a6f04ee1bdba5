"""Releases at work: counting, the controller's turn, rollback."""
