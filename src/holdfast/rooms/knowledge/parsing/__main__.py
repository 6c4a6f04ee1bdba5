"""Reads documents that are asked for on the standard input, until it is closed."""

from holdfast.rooms.knowledge.parsing.nursery import serve

if __name__ == "__main__":
    serve()
