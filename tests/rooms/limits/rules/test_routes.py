"""From path and method to the rule."""

import pytest

from holdfast.rooms.limits.rules.routes import EXEMPT, OWN_ROUTES, RouteRule, Table, first_for, pattern


@pytest.mark.parametrize(
    ("shape", "path", "fits"),
    [
        ("/a", "/a", True),
        ("/a", "/a/", False),
        ("/a/*", "/a/b/c", True),
        ("/a/*", "/ab", False),
        ("/farms/{id}", "/farms/7", True),
        ("/farms/{id}", "/farms/7/days", False),
        ("/farms/{id}/days/*", "/farms/가/days/1", True),
        ("*", "/anything\n", True),
        ("/a.b", "/axb", False),
    ],
)
def test_a_shape_fits_from_end_to_end(shape, path, fits):
    assert pattern(shape)(path) is fits


def test_the_first_rule_that_takes_the_method_decides():
    table = Table([RouteRule("/x", ("a",), "POST"), RouteRule("/x", ("b",)), RouteRule("/*", ("c",))])
    rules = table.at("/x")
    assert [rule.actions for rule in rules] == [("a",), ("b",)]
    assert first_for(rules, "POST") is rules[0]
    assert first_for(rules, "GET") is rules[1]
    assert table.at("nowhere") == ()
    assert first_for((RouteRule("/x", ("a",), "POST"),), "GET") is None


def test_our_own_addresses_are_known():
    table = Table(OWN_ROUTES, EXEMPT)
    assert first_for(table.at("/api/v2/recommend/personalized"), "POST").actions == (
        "recommendation_request",
    )
    assert first_for(table.at("/api/v2/recommend/feedback"), "POST").actions == ()
    assert table.at("/api/v1/anything") == ()


@pytest.mark.parametrize(
    "path", ["/health", "/health/ready", "/api/v2/health", "/metrics", "/admin/limits/reset", "/console"]
)
def test_what_must_always_answer_is_exempt(path):
    assert Table((), EXEMPT).is_exempt(path)


@pytest.mark.parametrize("path", ["/healthy", "/api/health", "/administration", "/", "/metrics/../api"])
def test_what_only_looks_like_it_is_not(path):
    assert not Table((), EXEMPT).is_exempt(path)
