"""One deployment's settings -> the provider that speaks to it."""

from collections.abc import Mapping
from typing import Literal

from holdfast.kernel.clock import Clock
from holdfast.kernel.errors import Misconfigured
from holdfast.rooms.llm.providers.anthropic import AnthropicProvider
from holdfast.rooms.llm.providers.endpoint import Options
from holdfast.rooms.llm.providers.openai import OpenAIProvider
from holdfast.rooms.llm.providers.provider import Provider
from holdfast.rooms.llm.providers.transport import Limits
from holdfast.rooms.llm.providers.transports import TransportName, open_transport

Adapter = Literal["openai", "anthropic", "openai_sdk", "litellm"]

BASE_URLS: dict[Adapter, str] = {
    "openai": "https://api.openai.com/v1",
    "anthropic": "https://api.anthropic.com/v1",
}
"""Where an adapter goes when nothing is said; the SDKs know for themselves."""


def open_provider(
    adapter: Adapter,
    base_url: str = "",
    *,
    options: Options | None = None,
    limits: Limits | None = None,
    transport: TransportName = "lane",
    environ: Mapping[str, str] | None = None,
    clock: Clock | None = None,
) -> Provider:
    """A provider that has connected to nothing yet; Misconfigured says what is wrong or not installed.

    `limits`, `transport` and `environ` (for proxies) are of our own adapters; of them the SDKs take only
    `limits.connect_s`. One call a base URL: deployments of one origin share their connections by sharing it.
    """
    if adapter == "openai_sdk":
        from holdfast.rooms.llm.providers.openai_sdk import OpenAISdkProvider

        return OpenAISdkProvider(base_url, options, limits, clock=clock)
    if adapter == "litellm":
        from holdfast.rooms.llm.providers.litellm_sdk import LiteLLMProvider

        return LiteLLMProvider(base_url, options, clock=clock)
    if adapter not in BASE_URLS:
        raise Misconfigured(
            f"there is no provider {adapter!r}", hint="openai, anthropic, openai_sdk or litellm"
        )
    way = open_transport(base_url or BASE_URLS[adapter], limits, name=transport, environ=environ)
    made = OpenAIProvider if adapter == "openai" else AnthropicProvider
    return made(way, options, clock=clock)
