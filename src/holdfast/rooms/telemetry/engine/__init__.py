"""The metrics registry, its worker slots, and what turns them into text."""
