"""What the cache decides: freshness, eviction, what a marker kills, what a header says. Pure."""
