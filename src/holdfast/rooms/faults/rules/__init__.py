"""What each fault is and what is sent for it; pure."""
