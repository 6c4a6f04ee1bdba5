"""What a failure says of its provider."""

import asyncio

import pytest

from holdfast.kernel.guard.outcome import ANSWERED, FAILED, NEUTRAL
from holdfast.rooms.llm.rules import failures
from holdfast.rooms.llm.rules.failures import POLICIES, Kind, ProviderFailed, verdict


def test_every_kind_has_a_policy():
    assert set(POLICIES) == set(Kind)


def test_the_table_in_the_docstring_is_the_table():
    said = {}
    for line in failures.__doc__.splitlines():
        words = line.split()
        if words and words[0] in {kind.value for kind in Kind}:
            said[Kind(words[0])] = line
    assert set(said) == set(Kind)
    for kind, policy in POLICIES.items():
        assert str(policy.status) in said[kind], kind
        assert policy.again == ("after a wait" in said[kind] or said[kind].split()[1] == "yes"), kind
        assert ("failed" in said[kind]) == (policy.verdict == FAILED), kind


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ProviderFailed(Kind.RATE_LIMITED, ""), NEUTRAL),
        (ProviderFailed(Kind.GARBLED, ""), FAILED),
        (ProviderFailed(Kind.BAD_REQUEST, ""), ANSWERED),
        (ProviderFailed(Kind.AUTH, ""), ANSWERED),
        (ValueError("unknown"), FAILED),
        (asyncio.CancelledError(), NEUTRAL),
        (GeneratorExit(), NEUTRAL),
    ],
)
def test_what_an_error_says_of_the_deployment(error, said):
    assert verdict(error) == said
