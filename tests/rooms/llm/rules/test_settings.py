"""The settings: which names are public, and names that lead nowhere."""

import pytest

from holdfast.kernel.config import Secret, load_settings
from holdfast.kernel.errors import Misconfigured
from holdfast.rooms.llm.rules.settings import CacheSettings, Config, Deployment, ModelSettings, check

HERE = Deployment(base_url="http://127.0.0.1:8009/v1")

TOML = """
[llm]
default_model = "작은 모델"
[llm.deployments.here]
base_url = "http://127.0.0.1:8009/v1"
serves = ["작은 모델", "gpt-4o"]
keys = ["k1", "k2"]
answers_as = ["gpt-4o-2024-08-06"]
[llm.deployments.there]
provider = "anthropic"
keys = ["k3"]
serves = ["gpt-4o"]
[llm.models."gpt-4o"]
fallbacks = ["작은 모델", "extractive"]
rescue = "restart"
"""


def test_the_file_is_read(tmp_path):
    file = tmp_path / "holdfast.toml"
    file.write_text(TOML, "utf-8")
    config = load_settings({"llm": Config}, file=file).section("llm", Config)
    check(config)
    assert config.public_names() == {
        "작은 모델": ["here"],
        "gpt-4o": ["here", "there"],
        "extractive": ["extractive"],
    }
    assert [key.reveal() for key in config.deployments["here"].keys] == ["k1", "k2"]
    assert "k1" not in repr(config)
    assert config.settings_of("gpt-4o").rescue == "restart"
    assert config.settings_of("작은 모델") == config.defaults


@pytest.mark.parametrize(
    "text",
    [
        '[llm.deployments.a]\nbase_url = "x"\nweight = 0',
        '[llm.deployments.a]\nbase_url = "x"\nattempts = 0',
        '[llm.deployments.a]\nbase_url = "x"\nproviders = "openai"',
        '[llm.deployments.a]\nbase_url = "x"\nrecovery = "never"',
        '[llm.models.a]\nrescue = "maybe"',
        "[llm.defaults]\ntotal_s = 0",
        "[llm.cache]\nttl_s = -1",
    ],
)
def test_what_makes_no_sense_stops_the_start(tmp_path, text):
    file = tmp_path / "holdfast.toml"
    file.write_text(text, "utf-8")
    with pytest.raises(Misconfigured):
        load_settings({"llm": Config}, file=file).section("llm", Config)


@pytest.mark.parametrize(
    "config",
    [
        Config(models={"gone": ModelSettings()}),
        Config(deployments={"a": HERE}, models={"a": ModelSettings(fallbacks=("gone",))}),
        Config(defaults=ModelSettings(fallbacks=("gone",))),
        Config(default_model="gone"),
        Config(deployments={"gone": Deployment()}),
    ],
)
def test_a_name_that_leads_nowhere_stops_the_start_and_is_named(config):
    with pytest.raises(Misconfigured, match="gone"):
        check(config)


def test_what_may_do_without_an_address():
    check(Config(deployments={"a": Deployment(keys=(Secret("k"),)), "b": Deployment(provider="litellm")}))


def test_times_to_live_by_purpose():
    settings = CacheSettings(ttl_s=60, ttls={"summary": 600})
    assert (settings.ttl_of("summary"), settings.ttl_of("answer")) == (600, 60)
