"""The front door: one pure-ASGI callable that every request passes exactly once."""
