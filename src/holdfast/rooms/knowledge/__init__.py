"""Documents in, cited answers out: every citation is a span of the stored text, checked before it leaves.

A document is parsed in a process of its own, cut into chunks that are spans of its text, indexed, and only
then swapped in for the version before it.
"""
