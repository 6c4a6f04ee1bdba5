"""The process that reads documents, without a server."""

import subprocess
import sys

from holdfast.rooms.knowledge.parsing.wire import HEAD, Asked, asked_line, read_told, unpack_head
from holdfast.rooms.knowledge.rules.parsed import Limits
from tests.rooms.knowledge.documents import ENDLESS


def test_the_module_answers_on_its_own_and_ends_with_whoever_asked(tmp_path):
    """Also in the middle of a document: a server that was killed leaves nothing behind."""
    reader = subprocess.Popen(
        [sys.executable, "-m", "holdfast.rooms.knowledge.parsing"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with reader:
        path = tmp_path / "a.txt"
        path.write_text("words")
        (tmp_path / "a.md").write_text(ENDLESS)
        reader.stdin.write(asked_line(Asked(str(path), "a.txt", "", Limits())) + b"\n")
        reader.stdin.flush()
        head = unpack_head(reader.stdout.read(HEAD.size))
        assert head.status == 0
        assert read_told(reader.stdout.read(head.size_bytes)).parsed.text == "words"
        endless = Asked(str(tmp_path / "a.md"), "a.md", "", Limits())
        reader.stdin.write(asked_line(endless) + b"\n")
        reader.stdin.close()
        assert reader.wait(30) == 0


def test_it_imports_no_more_than_it_needs():
    listed = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, holdfast.rooms.knowledge.parsing.nursery; print(*sys.modules)",
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert not {"asyncio", "sqlalchemy", "pypdf", "numpy", "socket", "ssl"} & set(listed)
