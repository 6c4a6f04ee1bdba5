"""Keys, scripts and the wire format of the second tier."""
