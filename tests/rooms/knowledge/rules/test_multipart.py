"""multipart/form-data in whatever pieces it comes."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.kernel.errors import Malformed
from holdfast.rooms.knowledge.rules.multipart import End, Multipart, Part, boundary_of

BOUNDARY = "x7Zq"


def body(*parts):
    """`(head, data)` as a browser sends them."""
    sent = b"".join(b"--x7Zq\r\n" + head.encode() + b"\r\n\r\n" + data + b"\r\n" for head, data in parts)
    return sent + b"--x7Zq--\r\n"


def read(pieces):
    """Every part with its data in one."""
    reader = Multipart(BOUNDARY)
    found = []
    for piece in pieces:
        for event in reader.feed(piece):
            if isinstance(event, Part):
                found.append([event, b"", False])
            elif isinstance(event, End):
                found[-1][2] = True
            else:
                found[-1][1] += event
    return [tuple(one) for one in found], reader.is_over


def disposition(name, filename=None):
    file = "" if filename is None else f'; filename="{filename}"'
    return f'Content-Disposition: form-data; name="{name}"{file}'


DATA = st.one_of(
    st.binary(max_size=80),
    st.lists(st.sampled_from([b"\r\n", b"--", b"x7Zq", b"--x7Z", b"\r\n--x7Z", b"a", b"\r"]), max_size=8).map(
        b"".join
    ),
).filter(lambda data: b"\r\n--x7Zq" not in data and not data.startswith(b"--x7Zq"))


@given(st.lists(DATA, min_size=1, max_size=3), st.lists(st.integers(0, 400), max_size=12))
def test_the_pieces_in_which_it_comes_do_not_matter(datas, cuts):
    sent = body(*((disposition(f"f{number}", "a.txt"), data) for number, data in enumerate(datas)))
    edges = sorted({0, len(sent), *(cut for cut in cuts if cut < len(sent))})
    pieces = [sent[a:b] for a, b in pairwise(edges)]
    found, is_over = read(pieces)
    assert is_over
    assert found == [(Part(f"f{number}", "a.txt"), data, True) for number, data in enumerate(datas)]
    assert read([bytes([one]) for one in sent]) == (found, True)


@pytest.mark.parametrize(
    ("head", "part"),
    [
        (
            disposition("file", "보고서.pdf") + "\r\nContent-Type: application/pdf",
            Part("file", "보고서.pdf", "application/pdf"),
        ),
        (disposition("file", "a%22b.txt"), Part("file", 'a"b.txt')),
        ('content-disposition: form-data; filename="a\\"b"; name="x"', Part("x", 'a"b')),
        ("Content-Disposition: form-data; name=tags", Part("tags")),
        (
            'Content-Disposition: form-data; name="f"; filename="a"; filename*=UTF-8\'\'%EB%B3%B4.txt',
            Part("f", "보.txt"),
        ),
    ],
)
def test_names_are_read_as_browsers_write_them(head, part):
    assert read([body((head, b"1"))])[0][0][0] == part


@pytest.mark.parametrize(
    "sent",
    [
        b"--x7Zq\r\n\r\n\r\ndata\r\n--x7Zq--",
        b"--x7Zq junk\r\n",
        b"--x7Zq\r\n" + b"a: b\r\n" * 4000,
        body(*((disposition("f"), b"") for _ in range(65))),
    ],
)
def test_what_is_no_multipart_body_is_malformed(sent):
    with pytest.raises(Malformed):
        read([sent])


def test_one_that_breaks_off_is_not_over():
    found, is_over = read([b"--x7Zq\r\n" + disposition("f").encode() + b"\r\n\r\nhal"])
    assert (is_over, found[0][2]) == (False, False)


def test_the_boundary_is_in_the_content_type():
    assert boundary_of('multipart/form-data; boundary="a b"') == "a b"
    for wrong in (
        "text/plain",
        "multipart/form-data",
        "multipart/mixed; boundary=a",
        "multipart/form-data; boundary=" + "a" * 71,
    ):
        with pytest.raises(Malformed):
            boundary_of(wrong)
