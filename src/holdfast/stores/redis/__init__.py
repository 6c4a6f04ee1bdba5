"""Redis and Valkey: alone, behind Sentinel, or as a cluster.

`RedisShared` in `client.py` is the Shared port; `Config` is the section `[shared]`. From below: `wire.py` is
one connection, `dial.py` opens it, `lane.py` keeps it, `topology.py`, `sentinel.py` and `cluster.py`
say which node a key belongs to.
"""
