"""Nouns, errors and pure decisions of safe change."""
