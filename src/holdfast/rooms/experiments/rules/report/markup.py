"""Markup that cannot be broken into: whatever is not `Markup` is escaped where it is put in."""

import html

_VOID = frozenset({"meta", "link", "br"})


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


def escaped(text: str) -> Markup:
    """Any text so that a browser shows it and nothing else.

    Control characters become their pictures (U+2400), what no document may hold becomes U+FFFD: a page must
    stay well-formed, and a reader should see that something was there.
    """
    if isinstance(text, Markup):
        return text
    return Markup(html.escape("".join(map(_shown, text)) if _unclean(text) else text, quote=True))


def tag(name: str, /, *children: str | None, **attributes: str | float | None) -> Markup:
    """One element. `class_` is `class`, `stroke_width` is `stroke-width`; None leaves it out."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escaped(_plain(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Markup(f"<{name}{written}>")
    inner = "".join(escaped(child) for child in children if child is not None)
    return Markup(f"<{name}{written}>{inner}</{name}>")


def joined(*parts: str | None) -> Markup:
    """Parts one after another."""
    return Markup("".join(escaped(part) for part in parts if part is not None))


def _plain(value: str | float) -> str:
    if isinstance(value, str):
        return value
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _unclean(text: str) -> bool:
    return not text.isprintable()


def _shown(sign: str) -> str:
    code = ord(sign)
    if sign in "\n\t" or 0xA0 <= code < 0xD800:
        return sign
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "\u2421"
    unfit = (
        0x80 <= code < 0xA0 or 0xD800 <= code < 0xE000 or 0xFDD0 <= code < 0xFDF0 or code & 0xFFFE == 0xFFFE
    )
    return "\ufffd" if unfit else sign
