"""Both transports against an upstream that misbehaves: each fault is a ProviderFailed of the right kind."""

import asyncio
import socket
import ssl

import pytest
import trustme

from holdfast.rooms.llm.providers.transport import Limits
from holdfast.rooms.llm.providers.transports import open_transport
from holdfast.rooms.llm.rules.failures import Kind, ProviderFailed
from tests.waiting import until

from .upstream import Upstream, always, chunk, chunked, plain

FIELDS = (("content-type", "application/json"), ("authorization", "Bearer sk-test"))
SHORT = 0.08
"""A limit that is to be reached."""
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"


@pytest.fixture(params=["lane", "aiohttp"])
def opened(request):
    """`opened(url, **limits)`: a transport that is closed at the end."""
    kept = []

    def make(url, tls=None, **limits):
        transport = open_transport(url, Limits(**limits), name=request.param, tls=tls)
        kept.append(transport)
        return transport

    make.name = request.param
    yield make
    assert all(transport._closed for transport in kept), "a test closes what it opens"


async def post(transport, body=b"{}", **more):
    try:
        return await transport.post("/chat", FIELDS, body, **more)
    finally:
        await transport.close()


async def fails(transport, body=b"{}", **more):
    with pytest.raises(ProviderFailed) as caught:
        await post(transport, body, **more)
    return caught.value


async def whole(opened):
    parts = []
    await into(opened, parts)
    return b"".join(parts)


async def into(opened, parts):
    while data := await opened.read():
        parts.append(data)


async def test_a_post_arrives_as_it_was_given_and_so_does_its_answer(opened):
    async with Upstream(always(plain('{"답": 1}'.encode(), "201 Created"))) as upstream:
        transport = opened(upstream.url + "/v1/")
        answer = await post(transport, "안녕".encode())
    assert (answer.status, answer.body) == (201, '{"답": 1}'.encode())
    assert answer.headers[b"content-type"] == b"application/json"
    (seen,) = upstream.requests
    assert seen.line == "POST /v1/chat HTTP/1.1"
    assert seen.body.decode() == "안녕"
    assert seen.headers["authorization"] == "Bearer sk-test"
    assert seen.headers["host"] == f"127.0.0.1:{upstream.port}"
    assert seen.headers["accept-encoding"] == "identity"


async def test_connections_are_kept_and_a_closed_one_is_not_used_again(opened):
    answers = {1: (plain(b"{}", "200 OK", "application/json", "connection: close"), False)}

    async def play(peer, request):
        answer, keep = answers.get(len(upstream.requests), (plain(b"{}"), True))
        await peer.send(answer)
        return keep

    async with Upstream(play) as upstream:
        transport = opened(upstream.url)
        for _ in range(3):
            await transport.post("/chat", FIELDS, b"{}")
        await transport.close()
    assert [request.connection for request in upstream.requests] == [0, 1, 1]


async def test_a_large_body_goes_out_and_comes_in_whole(opened):
    large = b"x" * 3_000_000

    async def play(peer, request):
        await peer.send(plain(request.body))
        return True

    async with Upstream(play) as upstream:
        answer = await post(opened(upstream.url), large)
    assert answer.body == large


@pytest.mark.parametrize(
    "answer",
    [
        chunked(b'{"a"', b":1}", kind="application/json"),
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" + plain(b'{"a":1}'),
        HEAD + b"transfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n"
        b'7;name=value;q="s"\r\n{"a":1}\r\n0\r\nx-sum: 1\r\nx-more: 2\r\n\r\n',
    ],
    ids=["chunked", "interim answers", "extensions and trailers"],
)
async def test_http_in_all_its_forms_is_understood(opened, answer):
    async with Upstream(always(answer)) as upstream:
        transport = opened(upstream.url)
        first = await transport.post("/chat", FIELDS, b"{}")
        second = await post(transport)
    assert first.body == second.body == b'{"a":1}'
    assert b"x-sum" not in first.headers
    assert len(upstream.peers) == 1


async def test_every_byte_may_come_alone(opened):
    answer = chunked(b'{"a"', b":1}", kind="application/json")

    async def play(peer, request):
        for at in range(len(answer)):
            await peer.send(answer[at : at + 1])
            await asyncio.sleep(0)
        return True

    async with Upstream(play) as upstream:
        assert (await post(opened(upstream.url))).body == b'{"a":1}'


async def test_a_body_without_a_length_ends_with_its_connection(opened):
    async with Upstream(always(HEAD + b'\r\n{"a":1}', keep=False)) as upstream:
        assert (await post(opened(upstream.url))).body == b'{"a":1}'


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"", Kind.CONNECTION),
        (b"HTTP/1.1 200 O", Kind.CONNECTION),
        (HEAD, Kind.CONNECTION),
        (HEAD + b"content-length: 100\r\n\r\nshort", Kind.CUT),
        (chunked(b"abc", end=b""), Kind.CUT),
        (chunked(b"abc", end=b"5\r\nab"), Kind.CUT),
        (b"SSH-2.0-OpenSSH_9.9\r\n\r\n", Kind.GARBLED),
        (b"HTTP/1.1 abc OK\r\n\r\n", Kind.GARBLED),
        (b"HTTP/1.1 200 OK\r\nno colon here\r\n\r\n", Kind.GARBLED),
        (HEAD + b"content-length: -5\r\n\r\n", Kind.GARBLED),
        (HEAD + b"content-length: 5\r\ncontent-length: 6\r\n\r\nabcdef", Kind.GARBLED),
    ],
)
async def test_a_broken_answer_is_a_failure_of_its_kind(opened, answer, kind):
    async with Upstream(always(answer, keep=False)) as upstream:
        error = await fails(opened(upstream.url))
    assert error.kind is kind
    assert len(upstream.requests) == 1, "sent twice"


@pytest.mark.parametrize("answer", [b"", HEAD, HEAD + b"content-length: 100\r\n\r\nshort"])
async def test_a_reset_is_a_failure(opened, answer):
    async def play(peer, request):
        await peer.send(answer)
        peer.reset()

    async with Upstream(play) as upstream:
        error = await fails(opened(upstream.url))
    # What was sent before a reset may or may not arrive.
    assert error.kind in (Kind.CONNECTION, Kind.CUT)
    assert len(upstream.requests) == 1


async def test_a_chunk_size_that_is_none_is_garbled(opened):
    async with Upstream(always(chunked(b"abc", end=b"zz\r\nabc\r\n"))) as upstream:
        error = await fails(opened(upstream.url))
    assert error.kind in (Kind.GARBLED, Kind.CUT)


@pytest.mark.parametrize("line", [b"x-much: " + b"y" * 1000 + b"\r\n", b"y" * 1000])
async def test_endless_headers_are_given_up_early(opened, line):
    sent = 0

    async def play(peer, request):
        nonlocal sent
        await peer.send(b"HTTP/1.1 200 OK\r\n")
        for _ in range(100_000):
            await peer.send(line)
            sent += len(line)

    async with Upstream(play) as upstream:
        error = await fails(opened(upstream.url))
    assert error.kind is Kind.GARBLED
    assert sent < 20_000_000


async def test_an_answer_that_is_too_large_is_given_up(opened):
    async def play(peer, request):
        await peer.send(HEAD + b"transfer-encoding: chunked\r\n\r\n")
        while True:
            await peer.send(chunk(b"x" * 65536))

    async with Upstream(play) as upstream:
        error = await fails(opened(upstream.url, max_body_bytes=1_000_000))
    assert (error.kind, error.code) == (Kind.GARBLED, "too_large")


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\ncontent-ty"])
async def test_silence_before_the_end_of_the_head_is_over_in_time(opened, start):
    async def play(peer, request):
        await peer.send(start)
        await peer.until_gone()

    async with Upstream(play) as upstream:
        error = await fails(opened(upstream.url, first_byte_s=SHORT))
        await upstream.peers[0].gone.wait()
    assert (error.kind, error.phase) == (Kind.SILENT, "first byte")


async def test_headers_that_drip_do_not_extend_the_limit(opened):
    async def play(peer, request):
        await peer.send(b"HTTP/1.1 200 OK\r\n")
        while not peer.writer.is_closing():
            await peer.send(b"x")
            await asyncio.sleep(0)

    async with Upstream(play) as upstream:
        error = await fails(opened(upstream.url, first_byte_s=SHORT, max_head_bytes=1_000_000_000))
    assert error.kind in (Kind.SILENT, Kind.GARBLED)


async def test_a_call_has_its_own_limit_of_the_first_byte(opened):
    async def play(peer, request):
        await peer.until_gone()

    async with Upstream(play) as upstream:
        error = await fails(opened(upstream.url, first_byte_s=3600.0), first_byte_s=SHORT)
    assert (error.kind, error.phase) == (Kind.SILENT, "first byte")


async def test_the_limit_of_the_first_byte_does_not_end_a_body_that_drips(opened):
    async def play(peer, request):
        await peer.send(HEAD + b"transfer-encoding: chunked\r\n\r\n")
        for _ in range(20):
            await peer.send(chunk(b"x"))
            await asyncio.sleep(0)
        await over.wait()
        await peer.send(b"0\r\n\r\n")
        return True

    over = asyncio.Event()
    async with Upstream(play) as upstream:
        transport = opened(upstream.url, first_byte_s=0.5)
        answer = await transport.stream("/chat", FIELDS, b"{}")
        asyncio.get_running_loop().call_later(0.8, over.set)
        assert await whole(answer) == b"x" * 20
        await transport.close()


async def test_nobody_listens(opened):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        error = await fails(opened(f"http://127.0.0.1:{taken.getsockname()[1]}"))
    assert (error.kind, error.code, error.phase) == (Kind.CONNECTION, "refused", "connect")


async def test_a_name_without_an_address(opened):
    error = await fails(opened("http://no-such-host.invalid"))
    assert (error.kind, error.code, error.phase) == (Kind.CONNECTION, "dns", "connect")


async def test_a_peer_that_takes_connections_and_never_speaks_tls(opened):
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        error = await fails(opened(f"https://127.0.0.1:{deaf.getsockname()[1]}", connect_s=SHORT))
    assert (error.kind, error.phase) == (Kind.SILENT, "connect")


async def test_a_name_with_two_addresses_is_reached_at_the_one_that_answers(opened):
    # localhost is ::1 and 127.0.0.1 nearly everywhere; the upstream listens on the second alone.
    async with Upstream(always(plain(b"{}"))) as upstream:
        transport = opened(f"http://localhost:{upstream.port}")
        assert (await post(transport)).status == 200


async def test_who_waits_too_long_for_a_connection_is_told_so(opened):
    async def play(peer, request):
        await peer.until_gone()

    async with Upstream(play) as upstream:
        transport = opened(upstream.url, max_connections=1, wait_s=SHORT)
        first = asyncio.create_task(transport.post("/chat", FIELDS, b"{}"))
        await until(lambda: upstream.requests)
        with pytest.raises(ProviderFailed) as caught:
            await transport.post("/chat", FIELDS, b"{}")
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        await transport.close()
    assert (caught.value.kind, caught.value.phase) == (Kind.BUSY, "wait")


async def test_the_limit_of_connections_holds_and_everybody_is_answered_in_turn(opened):
    order = []

    async def play(peer, request):
        order.append(int(request.body))
        await asyncio.sleep(0)
        await peer.send(plain(request.body))
        return True

    async with Upstream(play) as upstream:
        transport = opened(upstream.url, max_connections=3)
        answers = await asyncio.gather(*(transport.post("/c", FIELDS, b"%d" % i) for i in range(60)))
        await transport.close()
    assert [int(answer.body) for answer in answers] == list(range(60))
    assert len(upstream.peers) == 3
    if opened.name == "lane":
        assert all(abs(at - number) <= 3 for at, number in enumerate(order)), "not in turn"


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_cancelled_call_closes_its_connection_and_frees_its_place(opened, streamed):
    async def play(peer, request):
        if request.connection == 0:
            await peer.until_gone()
        await peer.send(plain(b"{}"))
        return True

    async with Upstream(play) as upstream:
        transport = opened(upstream.url, max_connections=1)
        ask = transport.stream if streamed else transport.post
        call = asyncio.create_task(ask("/chat", FIELDS, b"{}"))
        await until(lambda: upstream.requests)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await upstream.peers[0].gone.wait()
        assert (await transport.post("/chat", FIELDS, b"{}")).status == 200
        await transport.close()


async def test_a_stream_that_is_closed_early_closes_its_connection(opened):
    async def play(peer, request):
        await peer.send(chunked(b"one", end=b""))
        await peer.until_gone()

    async with Upstream(play) as upstream:
        transport = opened(upstream.url)
        answer = await transport.stream("/chat", FIELDS, b"{}")
        assert (answer.status, await answer.read()) == (200, b"one")
        await answer.aclose()
        await upstream.peers[0].gone.wait()
        assert await answer.read() == b""
        await transport.close()


async def test_a_cancelled_read_closes_its_connection(opened):
    async def play(peer, request):
        await peer.send(chunked(b"one", end=b""))
        await peer.until_gone()

    async with Upstream(play) as upstream:
        transport = opened(upstream.url)
        answer = await transport.stream("/chat", FIELDS, b"{}")
        await answer.read()
        waiting = asyncio.create_task(answer.read())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await upstream.peers[0].gone.wait()
        await transport.close()


async def test_a_stream_gives_what_came_before_it_was_cut(opened):
    async with Upstream(always(chunked(b"one", b"two", end=b""), keep=False)) as upstream:
        transport = opened(upstream.url)
        answer = await transport.stream("/chat", FIELDS, b"{}")
        got = []
        with pytest.raises(ProviderFailed) as caught:
            await into(answer, got)
        await answer.aclose()
        await transport.close()
    assert (b"".join(got), caught.value.kind) == (b"onetwo", Kind.CUT)


async def test_a_stream_that_was_read_to_its_end_leaves_its_connection_for_the_next(opened):
    async with Upstream(always(chunked(b"one", b"two"))) as upstream:
        transport = opened(upstream.url)
        for _ in range(3):
            assert await whole(await transport.stream("/chat", FIELDS, b"{}")) == b"onetwo"
        await transport.close()
    assert len(upstream.peers) == 1


async def test_a_reader_that_is_slow_holds_its_upstream_back(opened):
    sent = 0

    async def play(peer, request):
        nonlocal sent
        peer.writer.transport.set_write_buffer_limits(0)
        await peer.send(HEAD + b"transfer-encoding: chunked\r\n\r\n")
        for _ in range(1_000):
            await peer.send(chunk(b"x" * 65536))
            sent += 65536
        await peer.send(b"0\r\n\r\n")
        return True

    async with Upstream(play) as upstream:
        transport = opened(upstream.url)
        answer = await transport.stream("/chat", FIELDS, b"{}")
        before = -1
        while before != sent:
            before = sent
            for _ in range(200):
                await asyncio.sleep(0)
        assert sent < 40_000_000, "nothing holds the upstream back"
        assert len(await whole(answer)) == 65_536_000
        await transport.close()


@pytest.mark.parametrize("value", ["sk-\r\nx: y", "sk-\n", "열쇠", "a\0b"])
async def test_a_key_that_no_header_can_carry_is_refused_and_not_shown(opened, value):
    async with Upstream(always(plain(b"{}"))) as upstream:
        transport = opened(upstream.url)
        with pytest.raises(ProviderFailed) as caught:
            await transport.post("/chat", (("authorization", value),), b"{}")
        await transport.close()
    assert caught.value.kind is Kind.AUTH
    assert value not in str(caught.value)
    assert upstream.requests == []


async def test_after_close_nothing_is_sent(opened):
    async with Upstream(always(plain(b"{}"))) as upstream:
        transport = opened(upstream.url)
        await transport.close()
        error = await fails(transport)
    assert (error.kind, error.code) == (Kind.CONNECTION, "closed")


def contexts(*names):
    """A server's and a client's TLS context; the client trusts the authority that made the server's."""
    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert(*names).configure_cert(server)
    authority.configure_trust(client)
    return server, client


async def test_tls_with_a_good_certificate(opened):
    server, client = contexts("localhost", "127.0.0.1")
    async with Upstream(always(plain(b"{}")), server) as upstream:
        for host in ("localhost", "127.0.0.1"):
            transport = opened(f"https://{host}:{upstream.port}", client)
            for _ in range(3):
                assert (await transport.post("/chat", FIELDS, b"x" * 200_000)).status == 200
            await transport.close()
    assert len(upstream.peers) == 2


@pytest.mark.parametrize("trusted", [False, True], ids=["unknown authority", "another name"])
async def test_tls_with_a_bad_certificate_sends_nothing(opened, trusted):
    server, client = contexts("example.org")
    async with Upstream(always(plain(b"{}")), server) as upstream:
        error = await fails(opened(f"https://localhost:{upstream.port}", client if trusted else None))
    assert (error.kind, error.code) == (Kind.CONNECTION, "certificate")
    assert upstream.requests == []


async def test_a_peer_that_speaks_no_tls(opened):
    def greet(reader, writer):
        writer.write(b"220 mail.example.org ESMTP\r\n")

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    error = await fails(opened(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"))
    server.close()
    assert (error.kind, error.phase) == (Kind.CONNECTION, "connect")
