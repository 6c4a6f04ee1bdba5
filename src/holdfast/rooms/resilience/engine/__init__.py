"""What the resilience room does over time."""
