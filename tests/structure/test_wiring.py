"""What the composition root hands to a room fits what the room asks for."""

import msgspec
import pytest

from holdfast.app import Holdfast
from holdfast.rooms.console.rules import Status

SHOWN = frozenset({"rooms_on", "rooms_skipped", "traffic", "records", "routes", "checks", "links"})
"""What an empty page would hide: each of these must come from the app, not from a default."""


@pytest.fixture
def app(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Holdfast(data_dir=str(tmp_path / "data"))


async def test_the_app_gives_the_console_exactly_what_it_shows(app):
    given = await app.status()
    unknown = sorted(set(given) - set(Status.__struct_fields__))
    missing = sorted(SHOWN - set(given))
    assert not unknown, f"src/holdfast/app.py: status() gives {unknown}, which the console does not read"
    assert not missing, f"src/holdfast/app.py: status() does not give {missing}"


async def test_the_traffic_of_the_app_is_in_the_console_s_shape(app):
    given = await app.status()
    shown = msgspec.to_builtins(msgspec.convert(given, Status, from_attributes=True))
    for part in ("traffic", "records"):
        assert set(given[part]) <= set(shown[part]), (
            f"src/holdfast/app.py: status()[{part!r}] has unknown keys"
        )
    for link in given["links"]:
        assert link["href"].startswith("/"), (
            f"src/holdfast/app.py: the console links only to this server: {link}"
        )
