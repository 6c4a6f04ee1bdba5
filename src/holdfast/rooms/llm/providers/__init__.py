"""How each kind of provider is spoken to."""
