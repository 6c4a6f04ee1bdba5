"""The provider that a deployment's settings mean."""

import os
from collections.abc import Callable

from holdfast.kernel.clock import Clock
from holdfast.kernel.ids import IdSource
from holdfast.rooms.llm.providers.endpoint import Options
from holdfast.rooms.llm.providers.extractive import Extractive
from holdfast.rooms.llm.providers.provider import Provider
from holdfast.rooms.llm.providers.transport import Limits
from holdfast.rooms.llm.rules.settings import Deployment

USUAL = {"openai": "https://api.openai.com/v1", "anthropic": "https://api.anthropic.com/v1"}
"""Where a provider is when no base_url is set."""
_NEVER_S = 1e9
"""A limit of 0 sets none."""


def maker(clock: Clock, ids: IdSource) -> Callable[[str, Deployment], Provider]:
    """Makes the provider of a deployment, not connected before its first call. Raises Misconfigured."""

    def make(name: str, settings: Deployment) -> Provider:
        if settings.provider == "extractive":
            return Extractive(clock, ids)
        options, limits = _options(settings), _limits(settings)
        if settings.provider == "openai_sdk":
            from holdfast.rooms.llm.providers.openai_sdk import OpenAISdkProvider

            return OpenAISdkProvider(settings.base_url, options, limits, clock=clock)
        if settings.provider == "litellm":
            from holdfast.rooms.llm.providers.litellm_sdk import LiteLLMProvider

            return LiteLLMProvider(settings.base_url, options, clock=clock)
        from holdfast.rooms.llm.providers.anthropic import AnthropicProvider
        from holdfast.rooms.llm.providers.openai import OpenAIProvider
        from holdfast.rooms.llm.providers.transports import open_transport

        base_url = settings.base_url or USUAL[settings.provider]
        transport = open_transport(base_url, limits, name=settings.transport, environ=os.environ)
        kind = AnthropicProvider if settings.provider == "anthropic" else OpenAIProvider
        return kind(transport, options, clock=clock)

    return make


def _options(settings: Deployment) -> Options:
    return Options(
        auth=settings.auth,
        api_version=settings.api_version,
        organization=settings.organization,
        project=settings.project,
        extra_headers=settings.headers,
        include_usage=settings.include_usage,
        whole_s=settings.attempt_s or _NEVER_S,
    )


def _limits(settings: Deployment) -> Limits:
    return Limits(
        connect_s=settings.connect_s or _NEVER_S,
        first_byte_s=settings.first_byte_s or _NEVER_S,
        max_connections=settings.concurrent or Limits().max_connections,
    )
