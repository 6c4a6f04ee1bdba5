"""The decisions of conversations: pure functions of text, state and settings."""
