"""Keys and scripts of the limits on a shared store."""
