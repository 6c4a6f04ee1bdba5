"""The server that behaves as its rules say, down to the byte."""
