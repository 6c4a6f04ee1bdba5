import pytest

from holdfast.kernel.config import load_settings
from holdfast.kernel.errors import Misconfigured
from holdfast.rooms.jobs.rules.settings import Config, Queue


def config(**jobs) -> Config:
    return load_settings({"jobs": Config}, overrides={"jobs": jobs}).section("jobs", Config)


def test_the_queues_of_the_requirements_are_there_and_others_beside_them():
    assert set(Config().known_queues()) == {"ai", "bulk", "analytics", "notification", "rag"}
    found = config(queues={"mail": {"concurrency": 2, "rate": "5/s"}, "ai": {"concurrency": 1}})
    assert found.known_queues()["mail"] == Queue(concurrency=2, rate="5/s")
    assert found.known_queues()["ai"].concurrency == 1
    assert "rag" in found.known_queues()


def test_a_broker_stays_secret():
    assert "hunter2" not in repr(config(broker_url="redis://:hunter2@localhost"))


@pytest.mark.parametrize("wrong", [{"engine": "kafka"}, {"queues": {"a": {"speed": 1}}}, {"lease_s": 0}])
def test_a_wrong_setting_stops_the_start(wrong):
    with pytest.raises(Misconfigured):
        config(**wrong)
