"""Conversations with a model that lose nothing, each with one small state beside its log.

A message is durable before the model is called, two never interleave, a repeat gets the stored answer, an
answer that ends early stays visible with its reason; what left the window is folded into a summary and found
again when it matters.
"""
