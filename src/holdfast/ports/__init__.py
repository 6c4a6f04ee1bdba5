"""The narrow waists between rooms: Protocols of at most six methods, each with its null object."""
