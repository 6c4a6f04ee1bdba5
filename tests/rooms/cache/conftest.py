"""Which tests of this room need real servers."""

from pathlib import Path

import pytest

HERE = Path(__file__).parent
SERVERS = {"own_redis", "own_redis_cluster", "redis_cluster", "redis_database", "redis_sentinel", "redis_url"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What starts servers or processes is out of the run that proves only that the room stands alone."""
    for item in items:
        above = item.path.parents
        if HERE / "shared" in above or (
            HERE in above and SERVERS.intersection(getattr(item, "fixturenames", ()))
        ):
            item.add_marker(pytest.mark.slow)
