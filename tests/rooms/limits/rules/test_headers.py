"""The RateLimit fields as draft 11 wants them."""

import re

from holdfast.rooms.limits.rules.charge import Limit, Verdict
from holdfast.rooms.limits.rules.headers import fields, policy_item, state_form

ITEM = re.compile(rb'"[a-z0-9_.-]+"(;[a-z]+=(\d+|"[a-z-]+"))+')


def test_a_policy_tells_quota_window_and_unit():
    assert policy_item(Limit("api_call", 100, 60.0, 20)) == b'"api_call";q=100;w=60'
    assert policy_item(Limit("tokens", 5, 0.5), "content-bytes") == b'"tokens";q=5;w=1;qu="content-bytes"'


def test_the_state_is_rounded_to_whole_units_and_seconds():
    assert state_form("api_call") % (99.999, 12.2) == b'"api_call";r=99;t=12'


def test_several_policies_stand_in_one_field_and_the_state_is_of_the_one_that_decided():
    found = dict(fields([b'"a";q=1;w=60', b'"b";q=2;w=1'], "b", Verdict(True, 1, 0.2)))
    assert found == {b"ratelimit-policy": b'"a";q=1;w=60, "b";q=2;w=1', b"ratelimit": b'"b";r=1;t=1'}
    for value in found.values():
        assert all(ITEM.fullmatch(item) for item in value.split(b", "))
