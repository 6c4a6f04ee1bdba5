"""The tables of conversations, and the bytes of a conversation's state."""
