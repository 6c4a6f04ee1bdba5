import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.rooms.telemetry.rules.redaction import ALLOWED, DENIED, MASK, Redaction, redaction


@pytest.mark.parametrize(
    "key",
    [
        "authorization",
        "Authorization",
        "proxy-authorization",
        "password",
        "userPassword",
        "user.password",
        "DB_PASSWORD",
        "api_key",
        "X-Api-Key",
        "apiKey",
        "apikey",
        "access_token",
        "Set-Cookie",
        "client_secret",
        "private key",
        "비밀번호",
        "사용자_비밀번호",
        "주민등록번호",
    ],
)
def test_keys_of_secrets_are_hidden(key: str):
    assert Redaction().hides(key)


@pytest.mark.parametrize(
    "key",
    [
        "input_tokens",
        "gen_ai.usage.input_tokens",
        "token_count",
        "tokenizer",
        "key",
        "monkey",
        "author",
        "상품",
    ],
)
def test_keys_that_only_look_like_it_are_shown(key: str):
    assert not Redaction().hides(key)


def test_secrets_are_masked_however_deep_and_the_original_stays():
    facts = {
        "headers": {"Authorization": "Bearer x", "accept": "*/*"},
        "users": [{"password": 1, "name": "김"}],
    }
    masked = Redaction().masked(facts)
    assert masked == {
        "headers": {"Authorization": MASK, "accept": "*/*"},
        "users": [{"password": MASK, "name": "김"}],
    }
    assert facts["headers"]["Authorization"] == "Bearer x"


def test_an_operator_can_hide_and_reveal():
    own = redaction(("Order-Note",), ("session_token",))
    assert own.hides("order_note")
    assert not own.hides("session-token")
    assert own.hides("password")


def test_every_word_of_the_lists_works():
    assert all(Redaction().hides(word) for word in DENIED)
    assert not any(Redaction().hides(word) for word in ALLOWED)


NESTED = st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=20,
)


@given(NESTED)
def test_masking_twice_changes_nothing_more(value: object):
    once = Redaction().masked({"password": value, "x": value})
    assert once["password"] == MASK
    assert Redaction().masked(once) == once


def test_a_structure_that_holds_itself_comes_to_an_end():
    loop: list[object] = []
    loop.append(loop)
    assert "…" in repr(Redaction().masked({"x": loop}))
