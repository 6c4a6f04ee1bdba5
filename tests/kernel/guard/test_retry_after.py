import pytest

from holdfast.kernel.guard.retry_after import parse_retry_after, retry_after_from

NOW = 784_111_777.0  # Sun, 06 Nov 1994 08:49:37 GMT


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0", 0.0),
        ("60", 60.0),
        (b"120", 120.0),
        (" 1.5 ", 1.5),
        ("250ms", 0.25),
        ("3 s", 3.0),
        ("Sun, 06 Nov 1994 08:49:47 GMT", 10.0),
        ("Sunday, 06-Nov-94 08:49:47 GMT", 10.0),
        ("Sun, 06 Nov 1994 09:49:47 +0100", 10.0),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 0.0),
        ("Sun, 06 Nov 1994 08:49:27 GMT", 0.0),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("nan", None),
        ("inf", None),
        ("1e9", None),
        ("5, 6", None),
        ("٥", None),
        ("9" * 400, None),
        ("Sun, 99 Nov 1994 08:49:37 GMT", None),
        ("Sun, 06 Nov 99999999 08:49:37 GMT", None),
        ("내일, 다시", None),
        (b"\xff\x00,", None),
        ("," * 5000, None),
    ],
)
def test_every_form_of_retry_after(value, expected):
    assert parse_retry_after(value, NOW) == expected


def test_milliseconds_come_before_seconds_and_names_in_any_case():
    assert retry_after_from({"Retry-After": "9", "Retry-After-Ms": "1500"}, NOW) == 1.5
    assert retry_after_from({"RETRY-AFTER": "9"}, NOW) == 9.0
    assert retry_after_from({"retry-after": "9", "retry-after-ms": "soon"}, NOW) == 9.0
    assert retry_after_from({"retry-after-ms": "5s"}, NOW) is None
    assert retry_after_from({"content-type": "x"}, NOW) is None
