import math
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from holdfast.kernel.errors import BadInput
from holdfast.stores.values import check_for, refuse_result


@pytest.mark.parametrize(
    ("kind", "value", "sent"),
    [
        (sa.BigInteger(), 2**63 - 1, 2**63 - 1),
        (sa.BigInteger(), True, 1),
        (sa.Integer(), -(2**31), -(2**31)),
        (sa.Float(), 3, 3.0),
        (sa.Float(), -math.inf, -math.inf),
        (sa.Text(), "한글", "한글"),
        (sa.String(), "plain", "plain"),
        (sa.LargeBinary(), bytearray(b"ab"), b"ab"),
        (sa.LargeBinary(), memoryview(b"ab"), b"ab"),
        (sa.types.NullType(), 5, 5),
        (sa.types.NullType(), 0.5, 0.5),
        (sa.types.NullType(), "글", "글"),
        (sa.types.NullType(), b"raw", b"raw"),
    ],
)
def test_what_fits_is_sent_as_the_plain_type(kind: Any, value: Any, sent: Any) -> None:
    result = check_for(kind)("name", value)
    assert (result, type(result)) == (sent, type(sent))


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (sa.BigInteger(), 2**63),
        (sa.BigInteger(), -(2**63) - 1),
        (sa.BigInteger(), 1.0),
        (sa.BigInteger(), "1"),
        (sa.Integer(), 2**31),
        (sa.Float(), math.nan),
        (sa.Float(), 10**400),
        (sa.Float(), "1"),
        (sa.Text(), "a\0b"),
        (sa.Text(), "\ud800"),
        (sa.Text(), 1),
        (sa.LargeBinary(), "text"),
        (sa.types.NullType(), 2**63),
        (sa.types.NullType(), math.nan),
        (sa.types.NullType(), "a\0b"),
        (sa.types.NullType(), object()),
    ],
)
def test_what_does_not_fit_is_named(kind: Any, value: Any) -> None:
    with pytest.raises(BadInput, match="price must be") as caught:
        check_for(kind)("price", value)
    assert caught.value.hint
    assert len(caught.value.detail) < 200
    assert caught.value.body("id")  # a lone surrogate in the message would not encode


@pytest.mark.parametrize("kind", [sa.Boolean(), sa.DateTime(), sa.JSON(), sa.Enum("a", "b"), sa.Uuid()])
def test_types_that_are_not_portable_are_refused_both_ways(kind: Any) -> None:
    with pytest.raises(TypeError, match="use BigInteger"):
        check_for(kind)
    with pytest.raises(TypeError, match=r"column when .* use BigInteger"):
        refuse_result(kind, "when")


def test_sums_may_come_back() -> None:
    refuse_result(sa.Numeric(), "total")
    with pytest.raises(TypeError):
        check_for(sa.Numeric(asdecimal=True))


@given(st.floats(allow_nan=False))
def test_every_number_passes(value: float) -> None:
    assert check_for(sa.Float())("x", value) == value


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_every_text_without_nul_passes(text: str) -> None:
    assert check_for(sa.Text())("x", text) == text
