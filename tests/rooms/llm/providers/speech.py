"""What an OpenAI-compatible upstream says, whole and in pieces."""

import json

from .upstream import plain

KEY = "sk-test-0123456789"
BODY = {"model": "m", "messages": [{"role": "user", "content": "프랑스의 수도는 어디인가요?"}]}
ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "파리"}, "finish_reason": "stop"}],
    "usage": {"total_tokens": 3},
}


def words(found):
    return "".join(c["delta"].get("content", "") for each in found for c in each["choices"])


def delta(content=None, finish=None, index=0, **more):
    made = {} if content is None else {"content": content}
    return {"id": "x", "choices": [{"index": index, "delta": made, "finish_reason": finish}], **more}


def sse(*values):
    texts = [value if isinstance(value, bytes) else json.dumps(value).encode() for value in values]
    return b"".join(b"data: %b\n\n" % text for text in texts)


WHOLE = (
    delta("파"),
    delta("리"),
    delta(finish="stop"),
    {"id": "x", "choices": [], "usage": {"total_tokens": 3}},
)


def vectors(*rows):
    data = [{"object": "embedding", "index": i, "embedding": row} for i, row in enumerate(rows)]
    return plain(json.dumps({"object": "list", "data": data}).encode())
