"""List prices of well-known model families, in US dollars per million tokens. A start, not a contract.

Gathered in November 2026 from public lists of the vendors' prices: standard tier, short contexts. Surcharges
for long contexts, batch discounts and cache writes are not here. Your contract's go into `[llm.prices]`.
"""

from collections.abc import Mapping

AS_OF = "2026-11"
CURRENCY = "USD"

FAMILIES: Mapping[str, tuple[float, float, float]] = {
    # family: (input, output, cached input)
    # OpenAI
    "gpt-5.6-sol": (5.0, 30.0, 0.5),
    "gpt-5.6-terra": (2.0, 12.0, 0.2),
    "gpt-5.6-luna": (0.2, 1.2, 0.02),
    "gpt-5.5": (5.0, 30.0, 0.5),
    "gpt-5.4": (2.5, 15.0, 0.25),
    "gpt-5.4-mini": (0.75, 4.5, 0.075),
    "gpt-5.4-nano": (0.2, 1.25, 0.02),
    "gpt-5.3-codex": (1.75, 14.0, 0.175),
    "gpt-5.2": (1.75, 14.0, 0.175),
    "gpt-5.1": (1.25, 10.0, 0.125),
    "gpt-5": (1.25, 10.0, 0.125),
    "gpt-5-mini": (0.25, 2.0, 0.025),
    "gpt-5-nano": (0.05, 0.4, 0.005),
    "gpt-4.1": (2.0, 8.0, 0.5),
    "gpt-4.1-mini": (0.4, 1.6, 0.1),
    "gpt-4.1-nano": (0.1, 0.4, 0.025),
    "gpt-4o": (2.5, 10.0, 1.25),
    "gpt-4o-mini": (0.15, 0.6, 0.075),
    "gpt-4-turbo": (10.0, 30.0, 10.0),
    "gpt-3.5-turbo": (0.5, 1.5, 0.5),
    "o1": (15.0, 60.0, 7.5),
    "o3": (2.0, 8.0, 0.5),
    "o3-mini": (1.1, 4.4, 0.55),
    "o4-mini": (1.1, 4.4, 0.275),
    "text-embedding-3-small": (0.02, 0.0, 0.02),
    "text-embedding-3-large": (0.13, 0.0, 0.13),
    "text-embedding-ada-002": (0.1, 0.0, 0.1),
    # Anthropic
    "claude-fable-5": (10.0, 50.0, 1.0),
    "claude-opus-5": (5.0, 25.0, 0.5),
    "claude-opus-4-8": (5.0, 25.0, 0.5),
    "claude-opus-4-7": (5.0, 25.0, 0.5),
    "claude-opus-4-6": (5.0, 25.0, 0.5),
    "claude-opus-4-5": (5.0, 25.0, 0.5),
    "claude-opus-4-1": (15.0, 75.0, 1.5),
    "claude-opus-4": (15.0, 75.0, 1.5),
    "claude-sonnet-5": (2.0, 10.0, 0.2),
    "claude-sonnet-4-6": (3.0, 15.0, 0.3),
    "claude-sonnet-4-5": (3.0, 15.0, 0.3),
    "claude-sonnet-4": (3.0, 15.0, 0.3),
    "claude-haiku-4-5": (1.0, 5.0, 0.1),
    "claude-3-7-sonnet": (3.0, 15.0, 0.3),
    "claude-3-5-sonnet": (3.0, 15.0, 0.3),
    "claude-3-5-haiku": (0.8, 4.0, 0.08),
    "claude-3-opus": (15.0, 75.0, 1.5),
    "claude-3-haiku": (0.25, 1.25, 0.03),
    # Google
    "gemini-3.7-flash": (0.75, 3.75, 0.075),
    "gemini-3.6-flash": (0.75, 3.75, 0.075),
    "gemini-3.5-flash": (1.5, 9.0, 0.15),
    "gemini-3.1-pro": (2.0, 12.0, 0.2),
    "gemini-3-pro": (2.0, 12.0, 0.2),
    "gemini-3-flash": (0.5, 3.0, 0.05),
    "gemini-2.5-pro": (1.25, 10.0, 0.125),
    "gemini-2.5-flash": (0.3, 2.5, 0.03),
    "gemini-2.5-flash-lite": (0.1, 0.4, 0.01),
    "gemini-2.0-flash": (0.1, 0.4, 0.025),
    "gemini-1.5-pro": (1.25, 5.0, 0.3125),
    "gemini-1.5-flash": (0.075, 0.3, 0.01875),
}
"""A name is of a family when only a date or a release word follows: `gpt-4o-2024-08-06`; not `gpt-4o-audio`,
which has a price of its own."""

FREE = (
    "extractive",
    "llama",
    "codellama",
    "qwen",
    "qwq",
    "gemma",
    "phi",
    "deepseek-r1",
    "deepseek-coder",
    "mixtral",
    "mistral-7b",
    "mistral-nemo",
    "olmo",
    "exaone",
    "solar",
    "smollm",
    "gpt-oss",
    "bge",
    "nomic-embed",
    "all-minilm",
    "e5",
)
"""Open models, taken as run by yourself: they cost nothing. A host that charges for them needs a price."""
