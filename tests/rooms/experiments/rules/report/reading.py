"""A reader of pages that accepts nothing but well-formed markup."""

from html.parser import HTMLParser

VOID = {"meta", "link", "br"}


class Reader(HTMLParser):
    """Keeps elements, attributes and text; raises where an element is not closed in its turn."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.texts, self.attributes = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        assert len({name for name, _ in attrs}) == len(attrs), f"<{tag}> names an attribute twice"
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.texts.append(data)


def read(text):
    """The page's reader, when all of it was well-formed."""
    text.encode()
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert reader.open == []
    return reader
