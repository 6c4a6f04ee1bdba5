"""Answering from given text alone: split, tokenise, score, quote, or refuse."""
