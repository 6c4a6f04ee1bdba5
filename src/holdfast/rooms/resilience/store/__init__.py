"""Where states that several processes share are kept."""
