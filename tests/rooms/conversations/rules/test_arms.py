"""What each arm of the release answers with."""

import pytest

from holdfast.rooms.conversations.rules.arms import arms_of
from holdfast.rooms.conversations.rules.personas import BUILT_IN, Persona
from holdfast.rooms.conversations.rules.problems import BadVariant, UnknownPersona
from holdfast.rooms.conversations.rules.settings import Config
from holdfast.rooms.conversations.rules.variants import Variant


def arm(variant, **settings):
    return arms_of(Config(variants={"treatment": variant}, **settings))["treatment"]


def test_an_arm_has_what_it_says_and_else_what_the_section_says():
    config = Config(context_bytes=1_000, recall="off", variants={"short": Variant(context_bytes=256)})
    arms = arms_of(config)
    assert list(arms) == ["control", "short"]
    assert arms["control"].config is config
    short = arms["short"].config
    assert (short.context_bytes, short.recall, short.summarise_every) == (256, "off", 5)
    assert arms["control"].voice("tutor") == BUILT_IN["tutor"]


def test_the_voice_is_the_personas_with_what_the_arm_says_of_it():
    found = arm(Variant(model="next", temperature=0.5)).voice("concise")
    assert (found.model, found.temperature, found.max_tokens) == ("next", 0.5, 160)
    assert found.style == BUILT_IN["concise"].style


@pytest.mark.parametrize(
    ("variant", "english", "korean"),
    [
        (Variant(style="Be kind."), "Be kind.", "Be kind."),
        (Variant(style="Be kind.", style_ko="친절하게."), "Be kind.", "친절하게."),
        (Variant(style_ko="친절하게."), BUILT_IN["assistant"].style, "친절하게."),
    ],
)
def test_a_prompt_in_one_language_leaves_no_other_arms_prompt_in_the_other(variant, english, korean):
    voice = arm(variant).voice("assistant")
    assert (voice.voice("en"), voice.voice("ko")) == (english, korean)


def test_another_persona_answers_only_whoever_chose_none():
    personas = {"next": Persona(style="Next.")}
    found = arm(Variant(persona="next"), personas=personas)
    assert found.voice("assistant").style == "Next."
    assert found.voice("tutor") == BUILT_IN["tutor"]


@pytest.mark.parametrize(
    ("variants", "problem"),
    [({"control": Variant()}, BadVariant), ({"treatment": Variant(persona="nobody")}, UnknownPersona)],
)
def test_what_cannot_be_served_is_refused_at_the_start(variants, problem):
    with pytest.raises(problem) as found:
        arms_of(Config(variants=variants))
    assert found.value.hint


def test_every_setting_of_a_variant_is_one_of_the_section_or_of_a_persona():
    named = {*Config.__struct_fields__, *Persona.__struct_fields__, "persona"}
    assert set(Variant.__struct_fields__) <= named
