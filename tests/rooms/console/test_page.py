import re
from html.parser import HTMLParser

import pytest

from holdfast.rooms.console.room import PAGE
from holdfast.rooms.console.rules import CheckRow, Link, Records, RouteRow, Status, Traffic


class Page(HTMLParser):
    """The tags of the page and its problems."""

    def __init__(self):
        super().__init__()
        self.tags = []
        self.feed(PAGE.read_text("utf-8"))

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))


def test_nothing_is_loaded_from_elsewhere():
    for tag, attributes in Page().tags:
        for name in ("src", "href", "action", "srcset"):
            assert attributes.get(name, "data:").startswith("data:"), f"<{tag} {name}={attributes.get(name)}>"
    text = PAGE.read_text("utf-8")
    assert "@import" not in text
    assert set(re.findall(r"https?://[^'\"\s]+", text)) == {"http://www.w3.org/2000/svg"}


def test_no_style_or_event_attribute_that_the_policy_would_refuse():
    for tag, attributes in Page().tags:
        bad = [name for name in attributes if name == "style" or name.startswith("on")]
        assert not bad, f"<{tag}> has {bad}"


def test_every_id_is_there_once_and_every_reference_meets_one():
    tags = Page().tags
    ids = [attributes["id"] for _, attributes in tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    asked = re.findall(r'\$\("([\w-]+)"\)', PAGE.read_text("utf-8"))
    named = [
        attributes[key]
        for _, attributes in tags
        for key in ("for", "list", "aria-labelledby")
        if key in attributes
    ]
    assert set(asked) | set(named) <= set(ids)


def test_every_field_of_the_page_has_a_name_for_those_who_cannot_see():
    tags = Page().tags
    labelled = {attributes.get("for") for tag, attributes in tags if tag == "label"}
    wrapped = set(re.findall(r'<label>[^<]*<input id="(\w+)"', PAGE.read_text("utf-8")))
    for tag, attributes in tags:
        if tag == "input":
            assert attributes["id"] in labelled | wrapped


@pytest.mark.parametrize(
    ("variable", "kind"),
    [
        ("status", Status),
        ("traffic", Traffic),
        ("records", Records),
        ("route", RouteRow),
        ("check", CheckRow),
        ("link", Link),
    ],
)
def test_the_script_reads_only_fields_that_exist(variable, kind):
    script = PAGE.read_text("utf-8").split("<script>")[1]
    read = set(re.findall(rf"(?<![.\w]){variable}\.(\w+)", script))
    assert read
    assert read <= set(kind.__struct_fields__)
