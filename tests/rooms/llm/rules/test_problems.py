"""What callers are told, and how OpenAI's clients read it."""

import json

import pytest

from holdfast.kernel.errors import BadInput, Malformed, NotFound, Unauthorized
from holdfast.ports.model import ModelFailed, ModelTimedOut
from holdfast.rooms.llm.engine.telling import CutOff, Silent, broken_off, problem_of
from holdfast.rooms.llm.rules.failures import POLICIES, Kind, ProviderFailed
from holdfast.rooms.llm.rules.problems import in_openai_shape, unknown_model


@pytest.mark.parametrize("kind", list(Kind))
def test_every_kind_of_failure_is_told_with_its_status_and_what_to_do(kind):
    problem = problem_of(ProviderFailed(kind, "provider said so"), None, ["a", "b"])
    assert isinstance(problem, ModelTimedOut if kind is Kind.SILENT else ModelFailed)
    assert problem.status == POLICIES[kind].status
    assert problem.hint
    assert problem.members["tried"] == ["a", "b"]


def test_the_status_of_one_problem_is_not_that_of_its_class():
    problem_of(ProviderFailed(Kind.RATE_LIMITED, "slow down"))
    assert ModelFailed("x").status == 502


def told(kind):
    return problem_of(ProviderFailed(kind, "it said so"))


def test_a_hint_becomes_retry_after():
    problem = problem_of(ProviderFailed(Kind.RATE_LIMITED, "slow down"), 3.2)
    assert (b"retry-after", b"4") in problem.headers()


@pytest.mark.parametrize(
    ("problem", "kind", "code"),
    [
        (told(Kind.CONTEXT_LENGTH), "invalid_request_error", "context_length_exceeded"),
        (told(Kind.QUOTA), "insufficient_quota", "insufficient_quota"),
        (told(Kind.CONNECTION), "api_connection_error", "model_failed"),
        (told(Kind.AUTH), "upstream_authentication_error", "model_failed"),
        (told(Kind.SILENT), "timeout_error", "model_timeout"),
        (told(Kind.GARBLED), "api_error", "model_failed"),
        (unknown_model("모델", ["a"]), "not_found_error", "model_not_found"),
        (Unauthorized("no key"), "authentication_error", "unauthorized"),
        (Malformed("no JSON"), "invalid_request_error", "malformed"),
        (BadInput("no"), "invalid_request_error", "bad_input"),
        (NotFound("nothing"), "not_found_error", "not_found"),
    ],
)
def test_a_problem_in_the_shape_of_openai(problem, kind, code):
    body = json.loads(in_openai_shape(problem, "req-1"))
    assert body["request_id"] == "req-1"
    assert body["error"]["type"] == kind
    assert body["error"]["code"] == code
    assert problem.detail in body["error"]["message"]
    assert "param" in body["error"]


def test_what_broke_off_half_way_is_no_answer():
    assert isinstance(broken_off(ProviderFailed(Kind.CUT, "it ended")), CutOff)
    assert isinstance(broken_off(ProviderFailed(Kind.SILENT, "it stalled", phase="idle")), Silent)
    assert "discard" in broken_off(ProviderFailed(Kind.CUT, "it ended")).hint
