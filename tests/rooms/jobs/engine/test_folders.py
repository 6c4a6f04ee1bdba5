"""Folders of attempts: made when asked for, overwritten and removed."""

import os

from holdfast.rooms.jobs.engine.folders import Folders, wipe


def test_a_folder_is_made_once_asked_for_and_nothing_of_it_is_left(tmp_path):
    folders = Folders(tmp_path, "host", "1")
    assert not folders.path("job", 1).exists()
    made = folders.make("job", 1)
    assert made.stat().st_mode & 0o777 == 0o700
    (made / "deep").mkdir()
    (made / "deep" / "secret.txt").write_text("비밀")
    folders.clear("job", 1)
    assert not made.exists()


def test_files_are_overwritten_before_they_go(tmp_path):
    folder = tmp_path / "attempt"
    folder.mkdir()
    (folder / "secret").write_bytes(b"s" * 3_000_000)
    seen = os.open(folder / "secret", os.O_RDONLY)
    try:
        wipe(folder, bytes)
        assert os.read(seen, 4_000_000) == bytes(3_000_000)
    finally:
        os.close(seen)
    assert not folder.exists()


def test_links_are_removed_and_never_followed(tmp_path):
    outside = tmp_path / "outside.txt"
    outside.write_text("keep me")
    other = tmp_path / "other"
    other.mkdir()
    (other / "kept.txt").write_text("and me")
    folder = tmp_path / "attempt"
    folder.mkdir()
    (folder / "link").symlink_to(outside)
    (folder / "way").symlink_to(other)
    os.link(outside, folder / "same")
    os.mkfifo(folder / "pipe")
    wipe(folder)
    assert not folder.exists()
    assert outside.read_text() == "keep me"
    assert (other / "kept.txt").read_text() == "and me"


def test_only_the_folders_of_the_dead_are_swept(tmp_path):
    mine, living, dead = (Folders(tmp_path, "host", name) for name in ("mine", "living", "dead"))
    elsewhere = Folders(tmp_path, "host-2", "other")
    for folders in (mine, living, dead, elsewhere):
        folders.make("job", 1)

    assert sorted(mine.others()) == ["dead", "living"]
    mine.sweep(["dead"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["host-2-other", "host-living", "host-mine"]
    mine.close()
    assert not mine.own.exists()
