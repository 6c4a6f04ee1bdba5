"""The settings of each arm of the release."""

import pytest

from holdfast.rooms.recommend.rules.problems import BadVariant
from holdfast.rooms.recommend.rules.settings import Config, Variant


def test_an_arm_has_what_it_says_and_else_what_the_section_says():
    older = Variant(sources=("content", "persona"), diversity=0.0, explore_slots=0)
    config = Config(diversity=0.7, evidence_k=3.0, variants={"older": older, "same": Variant()})
    arms = config.arms()
    assert list(arms) == ["control", "older", "same"]
    assert arms["control"] is config
    assert arms["same"] == config
    found = arms["older"]
    assert (found.sources, found.diversity, found.explore_slots) == (("content", "persona"), 0.0, 0)
    assert (found.evidence_k, found.limit) == (3.0, config.limit)


def test_every_setting_of_a_variant_is_one_of_the_section_with_the_same_bounds():
    assert set(Variant.__struct_fields__) < set(Config.__struct_fields__)


def test_control_is_the_section_and_no_table_of_its_own():
    with pytest.raises(BadVariant, match="control") as found:
        Config(variants={"control": Variant()}).arms()
    assert found.value.hint
