"""A chat body in OpenAI's shape as one of Anthropic's Messages API.

What Anthropic has no word for (seed, penalties, logit_bias, logprobs) is left out; several choices and
audio are refused rather than answered wrongly. A JSON schema becomes a tool that the model must call, which
every model understands; where the request brings tools of its own, it becomes an instruction.
"""

import re
from collections.abc import Mapping
from typing import Any

from holdfast.rooms.llm.rules.bodies import decoded, encoded
from holdfast.rooms.llm.rules.failures import Kind, ProviderFailed

Body = dict[str, Any]
Block = dict[str, Any]

FORMAT_TOOL = "answer_in_format"
"""The tool that stands for a response format."""
_PASSED = ("model", "top_p", "top_k", "thinking")
_DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+)(?:;[\w=.+-]+)*;base64,", re.ASCII)
_JSON_ONLY = "Answer with one JSON object and nothing else: no words before or after it, no code fence."


def refuse(message: str) -> ProviderFailed:
    return ProviderFailed(Kind.BAD_REQUEST, message)


def in_format_tool(body: Mapping[str, Any]) -> bool:
    """Whether the answer comes as the arguments of FORMAT_TOOL."""
    return _schema(body) is not None and not body.get("tools")


def request(body: Mapping[str, Any], max_tokens: int) -> Body:
    """The Messages body; `max_tokens` where the request says nothing. Raises ProviderFailed(BAD_REQUEST)."""
    if body.get("n") not in (None, 1):
        raise refuse("Anthropic gives one choice: n must be 1")
    messages = body.get("messages")
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        raise refuse("messages must be a list of objects")
    found: Body = {name: body[name] for name in _PASSED if body.get(name) is not None}
    found["max_tokens"] = body.get("max_completion_tokens") or body.get("max_tokens") or max_tokens
    found["messages"] = conversation(messages)
    system = [text for message in messages if _is_system(message) for text in _texts(message)]
    system += _instructions(body)
    if system:
        found["system"] = "\n\n".join(system)
    if isinstance(body.get("temperature"), int | float):
        # OpenAI's scale ends at 2, Anthropic's at 1.
        found["temperature"] = min(body["temperature"], 1.0)
    stops = [body["stop"]] if isinstance(body.get("stop"), str) else body.get("stop") or []
    if stops := [stop for stop in stops if isinstance(stop, str) and stop.strip()]:
        found["stop_sequences"] = stops
    if isinstance(body.get("user"), str):
        found["metadata"] = {"user_id": body["user"]}
    _add_tools(found, body)
    return found


def conversation(messages: list[Body]) -> list[Body]:
    """The turns without system messages; neighbours of one role become one, as the API wants it."""
    turns: list[Body] = []
    for message in messages:
        if _is_system(message):
            continue
        role = "assistant" if message.get("role") == "assistant" else "user"
        blocks = _blocks(message)
        if not blocks:
            continue
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += blocks
        else:
            turns.append({"role": role, "content": blocks})
    if turns and turns[-1]["role"] == "assistant" and turns[-1]["content"][-1]["type"] == "text":
        # A last turn of the assistant is continued, and must not end in white space.
        last = turns[-1]["content"][-1]
        last["text"] = last["text"].rstrip()
        if not last["text"]:
            turns[-1]["content"].pop()
            turns = turns if turns[-1]["content"] else turns[:-1]
    return turns


def _is_system(message: Body) -> bool:
    return message.get("role") in ("system", "developer")


def _texts(message: Body) -> list[str]:
    return [block["text"] for block in _parts(message.get("content")) if block["type"] == "text"]


def _blocks(message: Body) -> list[Block]:
    role = message.get("role")
    if role == "tool":
        result: Block = {"type": "tool_result", "tool_use_id": str(message.get("tool_call_id", ""))}
        if content := _parts(message.get("content")):
            result["content"] = content
        return [result]
    if role not in ("user", "assistant"):
        raise refuse("a message has no role that Anthropic knows: system, user, assistant or tool")
    blocks = _parts(message.get("content"))
    for call in message.get("tool_calls") or ():
        blocks.append(_tool_use(call))
    return blocks


def _tool_use(call: Any) -> Block:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or not function.get("name"):
        raise refuse("a tool call has no function with a name")
    text = function.get("arguments") or "{}"
    try:
        arguments = decoded(text.encode("utf-8", "replace")) if isinstance(text, str) else text
    except (ValueError, RecursionError):
        arguments = None
    if not isinstance(arguments, dict):
        # A model may have written no JSON; it is shown what it wrote.
        arguments = {"arguments": text}
    return {"type": "tool_use", "id": str(call.get("id", "")), "name": function["name"], "input": arguments}


def _parts(content: Any) -> list[Block]:
    """Content as blocks; empty texts are left out, the API refuses them."""
    if content is None:
        return []
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content.strip() else []
    if not isinstance(content, list):
        raise refuse("a message's content is neither a text nor a list of parts")
    return [block for part in content if (block := _part(part)) is not None]


def _part(part: Any) -> Block | None:
    if not isinstance(part, dict):
        raise refuse("a part of a message is no object")
    kind = part.get("type")
    if kind in ("text", "refusal"):
        text = part.get("text") or part.get("refusal") or ""
        return {"type": "text", "text": text} if isinstance(text, str) and text.strip() else None
    if kind == "image_url":
        image = part.get("image_url")
        return {"type": "image", "source": _source(image.get("url") if isinstance(image, dict) else image)}
    if kind == "file" and isinstance(part.get("file"), dict):
        return {"type": "document", "source": _source(part["file"].get("file_data"))}
    raise refuse("Anthropic takes texts, images and files as parts of a message")


def _source(url: Any) -> Block:
    if not isinstance(url, str):
        raise refuse("an image or a file has no URL")
    if found := _DATA_URL.match(url):
        return {"type": "base64", "media_type": found[1].lower(), "data": url[found.end() :]}
    if url.startswith(("https://", "http://")):
        return {"type": "url", "url": url}
    raise refuse("an image or a file must be an http(s) URL or a base64 data URL")


def _schema(body: Mapping[str, Any]) -> Body | None:
    wanted = body.get("response_format")
    if not isinstance(wanted, dict) or wanted.get("type") != "json_schema":
        return None
    given = wanted.get("json_schema")
    schema = given.get("schema") if isinstance(given, dict) else None
    return schema if isinstance(schema, dict) else None


def _instructions(body: Mapping[str, Any]) -> list[str]:
    wanted = body.get("response_format")
    if not isinstance(wanted, dict) or wanted.get("type") == "text" or in_format_tool(body):
        return []
    schema = _schema(body)
    if schema is None:
        return [_JSON_ONLY]
    return [f"{_JSON_ONLY} It must be valid under this JSON schema:\n{encoded(schema).decode()}"]


def _add_tools(found: Body, body: Mapping[str, Any]) -> None:
    if in_format_tool(body):
        schema = _schema(body)
        said = "Gives the answer in the form that was asked for."
        found["tools"] = [{"name": FORMAT_TOOL, "description": said, "input_schema": schema}]
        found["tool_choice"] = {"type": "tool", "name": FORMAT_TOOL}
        return
    if not body.get("tools"):
        return
    found["tools"] = [_tool(tool) for tool in body["tools"]]
    choice = _choice(body.get("tool_choice"))
    if body.get("parallel_tool_calls") is False and choice["type"] != "none":
        choice["disable_parallel_tool_use"] = True
    found["tool_choice"] = choice


def _tool(tool: Any) -> Body:
    function = tool.get("function") if isinstance(tool, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise refuse("a tool is no function with a name")
    schema = function.get("parameters") or {"type": "object", "properties": {}}
    found: Body = {"name": function["name"], "input_schema": schema}
    if function.get("description"):
        found["description"] = function["description"]
    return found


def _choice(choice: Any) -> Body:
    if isinstance(choice, dict):
        function = choice.get("function")
        if not isinstance(function, dict) or not function.get("name"):
            raise refuse("tool_choice names no function")
        return {"type": "tool", "name": function["name"]}
    return {"type": {"required": "any", "none": "none"}.get(choice or "", "auto")}
