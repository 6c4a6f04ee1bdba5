"""A page that needs nothing from anywhere else, and the headers that hold it to that."""

import base64
import hashlib
import re

from holdfast.kernel.route import Answer

_INLINE = re.compile(r"<(script|style)>(.*?)</\1>", re.DOTALL)


def page_answer(page: str) -> Answer:
    """The page as a response that may run its own inline script and style and talk to this server only."""
    headers = (
        ("cache-control", "no-cache"),
        ("content-security-policy", content_security_policy(page)),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
    )
    return Answer(page.encode(), media_type="text/html; charset=utf-8", headers=headers)


def content_security_policy(page: str) -> str:
    """A policy that lets exactly this page's own inline script and style run, and only calls to this server.

    Hashes as in CSP level 3, section 8.4; the page must hold no event or style attribute.
    """
    found: dict[str, list[str]] = {"script": [], "style": []}
    for kind, text in _INLINE.findall(page):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        found[kind].append(f"'sha256-{digest}'")
    rules = ["default-src 'none'", "connect-src 'self'", "img-src data:"]
    rules += [f"{kind}-src {' '.join(hashes)}" for kind, hashes in found.items() if hashes]
    rules += ["base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"]
    return "; ".join(rules)
