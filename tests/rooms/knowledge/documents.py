"""Documents made for tests, byte by byte: PDFs with Korean text and no font file, DOCX, bombs, loops."""

import io
import struct
import zipfile

W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"

ENDLESS = " ".join("`" * length for length in range(1, 2_500))
"""Code spans of which none is closed: each is searched for in all that follows, for minutes."""


def pdf_of(*pages: list[str], title: str = "", extra: dict[int, bytes] | None = None) -> bytes:
    """A PDF whose pages show these lines; all its font has is a ToUnicode table, of what the codes mean.

    `extra` replaces objects by number: 1 catalogue, 2 page tree, 3 font, 4 and 5 its parts, then two a page.
    """
    chars = sorted({char for lines in pages for line in lines for char in line})
    codes = {char: number for number, char in enumerate(chars, 1)}
    objects: dict[int, bytes] = {
        1: b"<< /Type /Catalog /Pages 2 0 R >>",
        3: b"<< /Type /Font /Subtype /Type0 /BaseFont /Batang /Encoding /Identity-H "
        b"/DescendantFonts [4 0 R] /ToUnicode 5 0 R >>",
        4: b"<< /Type /Font /Subtype /CIDFontType2 /BaseFont /Batang /DW 1000 "
        b"/CIDSystemInfo << /Registry (Adobe) /Ordering (Identity) /Supplement 0 >> >>",
        5: stream(_to_unicode(codes)),
    }
    kids = []
    for number, lines in enumerate(pages):
        page, content = 6 + 2 * number, 7 + 2 * number
        kids.append(b"%d 0 R" % page)
        objects[page] = (
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents %d 0 R "
            b"/Resources << /Font << /F1 3 0 R >> >> >>" % content
        )
        objects[content] = stream(_shown(lines, codes))
    objects[2] = b"<< /Type /Pages /Kids [%s] /Count %d >>" % (b" ".join(kids), len(kids))
    if title:
        objects[6 + 2 * len(pages)] = b"<< /Title (\xfe\xff%s) >>" % title.encode("utf-16-be")
    info = b" /Info %d 0 R" % (6 + 2 * len(pages)) if title else b""
    return assembled(objects | (extra or {}), info)


def stream(content: bytes) -> bytes:
    return b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content)


def assembled(objects: dict[int, bytes], info: bytes = b"") -> bytes:
    """The objects with their table and trailer."""
    out = io.BytesIO()
    out.write(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")
    places = {}
    for number, body in sorted(objects.items()):
        places[number] = out.tell()
        out.write(b"%d 0 obj\n%s\nendobj\n" % (number, body))
    start, size = out.tell(), max(objects) + 1
    out.write(b"xref\n0 %d\n0000000000 65535 f \n" % size)
    for number in range(1, size):
        out.write(b"%010d 00000 %s \n" % (places.get(number, 0), b"n" if number in places else b"f"))
    out.write(b"trailer\n<< /Size %d /Root 1 0 R%s >>\nstartxref\n%d\n%%%%EOF\n" % (size, info, start))
    return out.getvalue()


def _shown(lines: list[str], codes: dict[str, int]) -> bytes:
    out = [b"BT /F1 12 Tf 50 800 Td"]
    for line in lines:
        shown = b"".join(b"%04x" % codes[char] for char in line)
        out.append(b"<%s> Tj 0 -16 Td" % shown)
    return b"\n".join([*out, b"ET"])


def _to_unicode(codes: dict[str, int]) -> bytes:
    rows = [b"<%04x> <%s>" % (code, char.encode("utf-16-be").hex().encode()) for char, code in codes.items()]
    blocks = [rows[at : at + 100] for at in range(0, len(rows), 100)]
    return b"\n".join(
        [
            b"/CIDInit /ProcSet findresource begin 12 dict begin begincmap",
            b"/CMapName /T def /CMapType 2 def 1 begincodespacerange <0000> <ffff> endcodespacerange",
            *(b"%d beginbfchar\n%s\nendbfchar" % (len(block), b"\n".join(block)) for block in blocks),
            b"endcmap CMapName currentdict /CMap defineresource pop end end",
        ]
    )


def zip_of(entries: dict[str, bytes | str], packing: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", packing) as file:
        for name, content in entries.items():
            file.writestr(name, content)
    return out.getvalue()


def docx_of(body: str, **parts: str) -> bytes:
    """A Word document with this inside of its `w:body`; `footnotes="<w:footnote .."` and so on add parts."""
    entries = {
        "[Content_Types].xml": "<Types/>",
        "word/document.xml": word("document", f"<w:body>{body}</w:body>"),
    }
    for name, content in parts.items():
        entries[f"word/{name}.xml"] = word(name, content)
    return zip_of(entries)


def word(root: str, inside: str) -> str:
    return f'<?xml version="1.0" encoding="UTF-8"?><w:{root} xmlns:w="{W}">{inside}</w:{root}>'


def p(text: str, style: str = "", more: str = "") -> str:
    """A paragraph of a Word document."""
    styled = f'<w:pStyle w:val="{style}"/>' if style else ""
    return f'<w:p><w:pPr>{styled}{more}</w:pPr><w:r><w:t xml:space="preserve">{text}</w:t></w:r></w:p>'


def lying_zip(raw: bytes, name: bytes, size: int) -> bytes:
    """The archive, with this entry's unpacked size said to be `size` in its directory."""
    at = raw.rindex(name) - 46
    return raw[: at + 24] + struct.pack("<I", size) + raw[at + 28 :]
