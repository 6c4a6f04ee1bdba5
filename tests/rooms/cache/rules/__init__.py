"""Tests of what the cache decides."""
