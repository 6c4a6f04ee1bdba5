"""JSON to and from providers, also where text is not valid Unicode: strict first, forgiving after."""

import json
from typing import Any, NoReturn

from holdfast.kernel.codec import clean_text, decode_json, encode_json
from holdfast.rooms.llm.rules.failures import Kind, ProviderFailed


def encoded(body: Any) -> bytes:
    """`body` as JSON. A lone surrogate, which UTF-8 cannot hold, is written out as its escape.

    Raises ProviderFailed(BAD_REQUEST) for what no JSON can hold.
    """
    try:
        return encode_json(body)
    except UnicodeEncodeError:
        return encode_json(cleaned(body))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        said = f"the request cannot be written as JSON: {type(error).__name__}"
        raise ProviderFailed(Kind.BAD_REQUEST, said) from None


def decoded(text: bytes) -> Any:
    """The value of a JSON text; raises ValueError or RecursionError when it is none.

    Some providers cut a pair of surrogate escapes in two; such text is read too, the halves written out.
    """
    try:
        return decode_json(text)
    except ValueError:
        if b"\\u" not in text:
            raise
        return cleaned(json.loads(text, parse_constant=_refuse))


def cleaned(value: Any) -> Any:
    """`value` with every text such that UTF-8 can hold it."""
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, dict):
        return {cleaned(name): cleaned(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [cleaned(item) for item in value]
    return value


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
