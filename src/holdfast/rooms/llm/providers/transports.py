"""Which transport a deployment gets: the lane, or aiohttp when asked for or when a proxy is in the way."""

import ssl
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Literal

from holdfast.kernel.errors import Misconfigured
from holdfast.rooms.llm.providers.transport import Limits, Origin, Transport, origin

TransportName = Literal["lane", "aiohttp"]


def open_transport(
    base_url: str,
    limits: Limits | None = None,
    *,
    name: TransportName = "lane",
    environ: Mapping[str, str] | None = None,
    tls: ssl.SSLContext | None = None,
) -> Transport:
    """A transport to `base_url`; nothing is connected before its first call.

    `environ` is asked for HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY: the lane speaks to no proxy, so
    that one takes aiohttp. Raises Misconfigured with what to install.
    """
    proxy = proxy_of(origin(base_url), environ or {})
    wanted = "aiohttp" if proxy else name
    module = "httptools" if wanted == "lane" else "aiohttp"
    if find_spec(module) is None:
        why = " (a proxy is set)" if proxy and name == "lane" else ""
        raise Misconfigured(
            f"the transport {wanted}{why} needs {module}, which is not installed",
            hint="pip install 'holdfast[llm]'",
        )
    if wanted == "lane":
        from holdfast.rooms.llm.providers.lane import Lane

        return Lane(base_url, limits, tls=tls)
    from holdfast.rooms.llm.providers.lane_over_aiohttp import AiohttpTransport

    return AiohttpTransport(base_url, limits, tls=tls, proxy=proxy)


def proxy_of(where: Origin, environ: Mapping[str, str]) -> str | None:
    """The proxy that the environment names for an origin, as curl reads it; lower-case names go first."""

    def named(*names: str) -> str:
        return next((environ[name] for name in names if environ.get(name)), "")

    skipped = [entry.strip().lstrip("*.").lower() for entry in named("no_proxy", "NO_PROXY").split(",")]
    host = where.host.lower()
    if named("no_proxy", "NO_PROXY").strip() == "*":
        return None
    if any(entry and entry in (host, f"{host}:{where.port}") for entry in skipped):
        return None
    if any(entry and host.endswith(f".{entry}") for entry in skipped):
        return None
    # HTTP_PROXY in capitals may come from a request's `Proxy:` header under CGI.
    own = ("https_proxy", "HTTPS_PROXY") if where.tls else ("http_proxy",)
    return named(*own, "all_proxy", "ALL_PROXY") or None
