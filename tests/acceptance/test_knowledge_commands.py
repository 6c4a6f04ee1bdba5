"""The commands of the knowledge room in a whole service, answered by the model that needs none."""

import argparse

import pytest

from holdfast.app import Holdfast


async def test_the_commands_take_in_a_folder_and_answer_from_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "docs"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.md").write_text("# 서울\n\n서울의 인구는 940만 명이다.", "utf-8")
    (folder / "sub" / "b.txt").write_text("부산의 인구는 330만 명이다.", "utf-8")
    (folder / "c.pdf").write_bytes(b"%PDF-1.7 broken")
    (folder / "skipped.bin").write_bytes(b"\0")
    hold = Holdfast(data_dir=str(tmp_path / "data"), rooms=["llm", "knowledge"])
    verbs = {verb.name: verb for verb in hold.verbs()}

    async def run(name, *given):
        parser = argparse.ArgumentParser()
        verbs[name].arguments(parser)
        code = await verbs[name].run(parser.parse_args([str(one) for one in given]))
        return code, *capsys.readouterr()

    await hold.start()
    try:
        code, said, complained = await run("knowledge add", folder, "--tag", "city")
        assert code == 1
        assert "a.md: succeeded" in said
        assert "sub/b.txt: succeeded" in said
        assert "c.pdf: failed" in complained
        assert "2 documents, 1 failed" in complained
        assert (await run("knowledge add", folder / "a.md", "--tag", "city"))[1].startswith("a.md: unchanged")
        code, said, _ = await run("knowledge search", "부산의 인구", "--tag", "city", "--most", "1")
        assert (code, "330만" in said) == (0, True)
        code, said, _ = await run("knowledge ask", "부산의 인구는 몇 명인가?")
        assert (code, "[1] sub/b.txt" in said) == (0, True)
        assert (await run("knowledge ask", "화성의 위성은?"))[0] == 3
        assert (await run("knowledge erase", ""))[1] == "erased 3 documents\n"
    finally:
        await hold.stop()


async def test_without_the_room_the_handle_says_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    hold = Holdfast(data_dir=str(tmp_path / "data"), rooms=["llm"])
    with pytest.raises(Exception, match="knowledge"):
        _ = hold.knowledge
