"""The 429 names what was violated and when to return."""

import json
import math

from holdfast.rooms.limits.rules.charge import Limit, Verdict
from holdfast.rooms.limits.rules.problems import refusal

LIMIT = Limit("submission", 10, 300.0, 3)


def test_a_refusal_names_policy_quota_and_window_and_says_when():
    problem = refusal(LIMIT, Verdict(False, 0, 300.0, 29.2), at_once=13, reduced=False)
    body = json.loads(problem.body("r1"))
    assert body["type"] == "https://iana.org/assignments/http-problem-types#quota-exceeded"
    assert body["violated-policies"] == ["submission"]
    assert (body["status"], body["quota"], body["burst"], body["window_s"]) == (429, 10, 3, 300.0)
    assert body["hint"] == "come back in 30 s"
    assert (b"retry-after", b"30") in problem.headers()


def test_a_limit_that_the_load_has_lowered_says_so():
    problem = refusal(LIMIT, Verdict(False, 0, 300.0, 0.2), at_once=13, reduced=True)
    assert json.loads(problem.body(""))["type"].endswith("#temporary-reduced-capacity")
    assert (b"retry-after", b"1") in problem.headers()


def test_what_never_passes_is_not_told_to_return():
    problem = refusal(LIMIT, Verdict(False, 13, 0.0, math.inf), at_once=13, reduced=False)
    assert not [value for name, value in problem.headers() if name == b"retry-after"]
    body = json.loads(problem.body(""))
    assert "at most 13 units" in body["hint"]
    assert body["retryable"] is False
