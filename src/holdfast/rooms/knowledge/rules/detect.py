"""What a document is: by its first bytes, then by what it was declared to be, then by its name."""

import re

from holdfast.rooms.knowledge.rules.parsed import DOCX, HTML, MARKDOWN, PDF, PLAIN
from holdfast.rooms.knowledge.rules.parsing_problems import corrupt, unsupported

HEAD_BYTES = 4096
"""How many of the first bytes are looked at."""

_HTML = re.compile(
    rb"^\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body)\b", re.I | re.S
)
_XML = re.compile(rb"^\s*<\?xml\b")
_TAG = re.compile(
    rb"<(?:p|div|h[1-6]|br|table|ul|ol|li|span|a|b|i|em|strong|meta|title|article|section)\b[^>]*>", re.I
)
_BOMS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")

_SAVE_AS = "save it as PDF or DOCX and upload that"
_FOREIGN = (
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office or HWP document, or an encrypted one", _SAVE_AS),
    (b"HWP Document File", "an HWP document", _SAVE_AS),
    (b"{\\rtf", "an RTF document", _SAVE_AS),
    (b"%!PS", "a PostScript document", "convert it to PDF and upload that"),
    (b"\x89PNG", "a PNG picture", ""),
    (b"\xff\xd8\xff", "a JPEG picture", ""),
    (b"GIF8", "a GIF picture", ""),
    (b"II*\x00", "a TIFF picture", ""),
    (b"MM\x00*", "a TIFF picture", ""),
    (b"\x1f\x8b", "a gzip archive", "unpack it and upload what is in it"),
    (b"BZh", "a bzip2 archive", "unpack it and upload what is in it"),
    (b"\xfd7zXZ\x00", "an xz archive", "unpack it and upload what is in it"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it and upload what is in it"),
    (b"Rar!\x1a\x07", "a RAR archive", "unpack it and upload what is in it"),
    (b"\x7fELF", "a program", ""),
    (b"MZ\x90", "a program", ""),
)
_DECLARED = {
    HTML: HTML,
    "application/xhtml+xml": HTML,
    MARKDOWN: MARKDOWN,
    "text/x-markdown": MARKDOWN,
}
_ENDINGS = {
    "html": HTML,
    "htm": HTML,
    "xhtml": HTML,
    "md": MARKDOWN,
    "markdown": MARKDOWN,
    "mdown": MARKDOWN,
    "mkd": MARKDOWN,
}


def detect(head: bytes, media_type: str = "", name: str = "") -> str:
    """One of MEDIA_TYPES; raises UnsupportedType for what is known not to be one.

    A type that has a signature is never believed without it: a text named `a.pdf` is corrupt, not a PDF.
    """
    if b"%PDF-" in head[:1024]:
        return PDF
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return DOCX  # whether there is a Word document in it is seen when it is opened
    for magic, what, hint in _FOREIGN:
        if head.startswith(magic):
            raise unsupported(what, hint)
    if not head.startswith(_BOMS) and _is_binary(head):
        raise unsupported("a binary file")
    return _text_type(head, media_type.partition(";")[0].strip().lower(), name)


def _text_type(head: bytes, declared: str, name: str) -> str:
    ending = name.rpartition(".")[2].lower() if "." in name else ""
    if head and (declared in (PDF, DOCX) or ending in ("pdf", "docx")):
        what = "PDF" if declared == PDF or ending == "pdf" else "DOCX"
        raise corrupt(f"it is called a {what} and does not begin like one")
    if _HTML.search(head):
        return HTML
    claimed = _DECLARED.get(declared) or _ENDINGS.get(ending, PLAIN)
    if declared in ("", PLAIN, "application/octet-stream"):
        claimed = _ENDINGS.get(ending, PLAIN)
    if claimed == HTML and not _TAG.search(head) and not _XML.match(head):
        return PLAIN
    return claimed


def _is_binary(head: bytes) -> bool:
    """Control characters that no text has; UTF-16 without a mark has many NULs, all on one side."""
    if not head:
        return False
    nuls = head.count(0)
    if nuls * 100 > len(head):
        one_sided = 0 in (head[::2].count(0), head[1::2].count(0))
        return not (one_sided and nuls * 8 >= len(head))
    strange = sum(head.count(code) for code in range(32) if code not in (7, 8, 9, 10, 12, 13, 27))
    return strange * 20 > len(head)
