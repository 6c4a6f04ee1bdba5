"""Guards for every dependency that the settings declare, with what all processes know of them.

The probes that bring a dependency back, and the addresses that show it and reset it, are here as well.
"""
