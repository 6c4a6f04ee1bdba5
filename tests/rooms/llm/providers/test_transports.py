"""Which transport a deployment gets, and that a proxy is gone through."""

import asyncio
import contextlib

import pytest

from holdfast.kernel.errors import Misconfigured
from holdfast.rooms.llm.providers import transports
from holdfast.rooms.llm.providers.lane import Lane
from holdfast.rooms.llm.providers.lane_over_aiohttp import AiohttpTransport
from holdfast.rooms.llm.providers.transport import origin, rendered
from holdfast.rooms.llm.providers.transports import open_transport, proxy_of

from .test_transports_conform import contexts
from .upstream import Upstream, always, plain


@pytest.mark.parametrize(
    ("url", "environ", "proxy"),
    [
        ("https://api.openai.com/v1", {}, None),
        ("https://api.openai.com/v1", {"HTTPS_PROXY": "http://p:1"}, "http://p:1"),
        (
            "https://api.openai.com/v1",
            {"https_proxy": "http://low:1", "HTTPS_PROXY": "http://p:1"},
            "http://low:1",
        ),
        ("https://api.openai.com/v1", {"ALL_PROXY": "http://all:1"}, "http://all:1"),
        ("https://api.openai.com/v1", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*"}, None),
        (
            "https://api.openai.com/v1",
            {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "localhost, .openai.com"},
            None,
        ),
        ("https://api.openai.com/v1", {"HTTPS_PROXY": "http://p:1", "no_proxy": "api.openai.com"}, None),
        ("https://api.openai.com/v1", {"HTTPS_PROXY": "http://p:1", "no_proxy": "api.openai.com:443"}, None),
        ("https://api.openai.com/v1", {"HTTPS_PROXY": "http://p:1", "no_proxy": "penai.com"}, "http://p:1"),
        ("http://localhost:8000", {"HTTPS_PROXY": "http://p:1"}, None),
        ("http://localhost:8000", {"http_proxy": "http://p:1"}, "http://p:1"),
        ("http://localhost:8000", {"HTTP_PROXY": "http://p:1"}, None),
        ("https://api.openai.com/v1", {"HTTPS_PROXY": ""}, None),
    ],
)
def test_the_proxy_that_the_environment_names(url, environ, proxy):
    assert proxy_of(origin(url), environ) == proxy
    assert isinstance(open_transport(url, environ=environ), AiohttpTransport if proxy else Lane)


def test_a_name_chooses():
    assert isinstance(open_transport("http://x"), Lane)
    assert isinstance(open_transport("http://x", name="aiohttp"), AiohttpTransport)


@pytest.mark.parametrize("name", ["lane", "aiohttp"])
def test_what_is_not_installed_is_named(name, monkeypatch):
    monkeypatch.setattr(transports, "find_spec", lambda module: None)
    with pytest.raises(Misconfigured) as caught:
        open_transport("http://x", name=name)
    assert "holdfast[llm]" in caught.value.hint


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.openai.com",
        "ftp://x",
        "https://",
        "https://u:p@x",
        "https://x/?key=1",
        "https://x:99999",
        "http://x/ y",
    ],
)
def test_a_base_url_that_is_none(url):
    with pytest.raises(Misconfigured):
        origin(url)


@pytest.mark.parametrize(
    ("url", "host", "line"),
    [
        ("https://x/v1/", "x", "POST /v1/chat HTTP/1.1"),
        ("https://x:443", "x", "POST /chat HTTP/1.1"),
        ("http://x:8000/a/b", "x:8000", "POST /a/b/chat HTTP/1.1"),
        ("http://[::1]:8000", "[::1]:8000", "POST /chat HTTP/1.1"),
    ],
)
def test_the_head_of_a_request(url, host, line):
    lines = rendered(origin(url), "/chat", (("a", "b"),)).decode().split("\r\n")
    assert lines == [line, f"host: {host}", "a: b", "accept-encoding: identity", "content-length: "]


class Tunnel:
    """A proxy that opens tunnels, and remembers to where."""

    def __init__(self):
        self.targets = []

    async def serve(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        target = head.split()[1]
        self.targets.append((target, "proxy-authorization" in head.lower()))
        host, port = target.rsplit(":", 1)
        there, back = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await asyncio.gather(self.carry(reader, back), self.carry(there, writer))

    async def carry(self, reader, writer):
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()


async def test_https_goes_through_the_proxy():
    tunnel = Tunnel()
    proxy = await asyncio.start_server(tunnel.serve, "127.0.0.1", 0)
    port = proxy.sockets[0].getsockname()[1]
    server, client = contexts("127.0.0.1")
    async with Upstream(always(plain(b"{}")), server) as upstream:
        environ = {"HTTPS_PROXY": f"http://user:word@127.0.0.1:{port}"}
        transport = open_transport(upstream.url, environ=environ, tls=client)
        assert (await transport.post("/chat", (), b"{}")).status == 200
        await transport.close()
    proxy.close()
    assert tunnel.targets == [(f"127.0.0.1:{upstream.port}", True)]
