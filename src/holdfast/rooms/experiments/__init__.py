"""Safe change: flags, releases that roll back by themselves, and experiments that stay honest when looked at.

A unit gets its variant by a hash that never changes under it; raising a share moves nobody back. A release
is compared with its own concurrent baseline by tests that hold however often they are read, and no data is
never a pass. An experiment shows no figure that peeking would spoil.
"""
