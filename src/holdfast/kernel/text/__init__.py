"""What text is made of: characters as a reader sees them, and sentences."""
