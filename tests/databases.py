"""What tests of rooms open their databases with."""

from holdfast.stores.config import Config

PATIENT = Config(deadline_s=60.0, connect_timeout_s=60.0, busy_timeout_s=60.0)
"""Calls that stand in one line would else hold a slow machine to the five seconds of a request."""
