"""Every table and statement of the room."""
