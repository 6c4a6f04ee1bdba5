"""Drivers behind the storage ports; the only modules that open a database."""
