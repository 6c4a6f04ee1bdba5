"""Tests of what carries it out, in one process and over a real server."""
