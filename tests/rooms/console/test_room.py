import pytest

from holdfast.kernel.config import load_settings
from holdfast.kernel.errors import Misconfigured
from holdfast.rooms.console.room import Config


@pytest.mark.parametrize("path", ["console", "", "/a{b}", "/a?b"])
def test_a_path_that_is_none_is_refused(path):
    with pytest.raises(Misconfigured, match=r"console\.path"):
        load_settings({"console": Config}, overrides={"console": {"path": path}})


def test_every_setting_says_what_it_means():
    assert all(option.meaning.endswith(".") for option in load_settings({"console": Config}).options)
