"""A deployment's settings become the provider they name."""

import json

import pytest

from holdfast.kernel.errors import Misconfigured
from holdfast.rooms.llm.providers.endpoint import Options
from holdfast.rooms.llm.providers.open import open_provider

from .speech import ANSWER, BODY
from .upstream import Upstream, always, plain


@pytest.mark.parametrize("adapter", ["openai", "anthropic", "openai_sdk"])
async def test_every_adapter_has_a_place_to_go_to_and_its_name(adapter):
    provider = open_provider(adapter)
    assert provider.name == adapter
    await provider.close()


@pytest.mark.parametrize("transport", ["lane", "aiohttp"])
async def test_a_provider_speaks_over_the_transport_that_was_chosen(transport):
    async with Upstream(always(plain(json.dumps(ANSWER).encode()))) as upstream:
        provider = open_provider("openai", upstream.url + "/v1", transport=transport)
        assert await provider.chat(BODY, "sk") == ANSWER
        await provider.close()


@pytest.mark.parametrize(("adapter", "url"), [("gemini", ""), ("openai", "ftp://x"), ("anthropic", "x")])
def test_settings_that_are_wrong_are_told(adapter, url):
    with pytest.raises(Misconfigured):
        open_provider(adapter, url, options=Options())
