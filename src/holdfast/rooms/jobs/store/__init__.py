"""Every table of the room, and every statement on them."""
