"""Answers kept for a while, in process and across nodes: each computed once, dropped everywhere."""
