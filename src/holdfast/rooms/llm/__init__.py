"""Calls of language models that no provider can take down: one stack, one deadline, one ledger around each.

The same stack answers rooms through the port `Model` and anyone's OpenAI client through the gateway at `/v1`.
"""
