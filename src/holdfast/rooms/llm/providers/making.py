"""The provider that a deployment's settings mean."""

import os
from collections.abc import Callable

from holdfast.kernel.clock import Clock
from holdfast.kernel.ids import IdSource
from holdfast.rooms.llm.providers.endpoint import Options
from holdfast.rooms.llm.providers.extractive import Extractive
from holdfast.rooms.llm.providers.open import open_provider
from holdfast.rooms.llm.providers.provider import Provider
from holdfast.rooms.llm.providers.transport import Limits
from holdfast.rooms.llm.rules.settings import Deployment

_NEVER_S = 1e9
"""A limit of 0 sets none."""


def maker(clock: Clock, ids: IdSource) -> Callable[[str, Deployment], Provider]:
    """Makes the provider of a deployment, not connected before its first call. Raises Misconfigured."""

    def make(name: str, settings: Deployment) -> Provider:
        if settings.provider == "extractive":
            return Extractive(clock, ids)
        return open_provider(
            settings.provider,
            settings.base_url,
            options=_options(settings),
            limits=_limits(settings),
            transport=settings.transport,
            environ=os.environ,
            clock=clock,
        )

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
