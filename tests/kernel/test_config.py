"""Settings: four layers, sources, and errors that name the key."""

from pathlib import Path
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta, Struct

from holdfast.kernel.config import ROOT, Secret, load_settings
from holdfast.kernel.errors import Misconfigured


class Root(Struct, frozen=True):
    url: str | None = None
    admin_token: Secret = Secret()


class Cache(Struct, frozen=True):
    ttl_s: Annotated[float, Meta(gt=0, description="seconds an entry lives")] = 60.0
    size: Annotated[int, Meta(ge=1)] = 100
    tags: list[str] = []
    enabled: bool = True


SECTIONS: dict[str, type[Struct]] = {ROOT: Root, "cache": Cache}


def write(folder: Path, text: str) -> Path:
    file = folder / "holdfast.toml"
    file.write_text(text, "utf-8")
    return file


def test_later_layers_win_and_each_value_knows_its_source(tmp_path: Path) -> None:
    file = write(tmp_path, 'url = "sqlite:///a"\n[cache]\nttl_s = 5\nsize = 7\n')
    env = {"HOLDFAST_CACHE_SIZE": "9", "PATH": "/bin"}
    settings = load_settings(SECTIONS, file=file, env=env, overrides={"cache": {"enabled": False}})
    assert settings.section("cache", Cache) == Cache(ttl_s=5, size=9, enabled=False)
    sources = {(o.section, o.key): o.source for o in settings.options}
    assert sources[("cache", "ttl_s")] == str(file)
    assert sources[("cache", "size")] == "HOLDFAST_CACHE_SIZE"
    assert sources[("cache", "enabled")] == "argument"
    assert sources[("cache", "tags")] == "default"
    assert settings.is_set("cache")


def test_silence_is_not_a_setting() -> None:
    assert not load_settings(SECTIONS).is_set("cache")


@pytest.mark.parametrize(
    ("text", "env", "says", "hint"),
    [
        ("[cache]\nttl = 5\n", {}, "cache.ttl", "ttl_s"),
        ("[cashe]\nttl_s = 5\n", {}, "cashe", "cache"),
        ("cache = 5\n", {}, "must be a table", "keys below"),
        ("[cache]\nttl_s = -1\n", {}, "cache.ttl_s", "seconds an entry lives"),
        ('[cache]\nsize = "many"\n', {}, "cache.size", ""),
        ("[cache\n", {}, "not valid TOML", ""),
        ("", {"HOLDFAST_CACHE_SISE": "3"}, "HOLDFAST_CACHE_SISE", "HOLDFAST_CACHE_SIZE"),
        ("", {"HOLDFAST_CACHE_SIZE": "0"}, "cache.size", ""),
        ("", {"HOLDFAST_CACHE_TAGS": "[1]"}, "cache.tags", ""),
        ("", {"HOLDFAST_ADMIN_TOKEN_FILE": "/nowhere/at/all"}, "HOLDFAST_ADMIN_TOKEN_FILE", "path"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, env: dict[str, str], says: str, hint: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        load_settings(SECTIONS, file=write(tmp_path, text), env=env)
    assert says in caught.value.detail
    assert hint in caught.value.hint


def test_a_missing_file_that_was_named_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="there is no settings file"):
        load_settings(SECTIONS, file=tmp_path / "none.toml")


def test_secrets_are_read_from_files_and_never_shown(tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("비밀-swordfish\n", "utf-8")
    settings = load_settings(SECTIONS, env={"HOLDFAST_ADMIN_TOKEN_FILE": str(secret)})
    token = settings.section(ROOT, Root).admin_token
    assert token.reveal() == "비밀-swordfish"
    shown = [option.shown() for option in settings.options] + [repr(settings.options), str(token)]
    assert not any("swordfish" in text for text in shown)


def test_a_wrong_secret_is_not_shown_either() -> None:
    with pytest.raises(Misconfigured) as caught:
        load_settings(SECTIONS, overrides={"admin_token": 31337})
    assert "31337" not in str(caught.value)


@pytest.mark.parametrize("text", ["true", "1", "on", "false", "0"])
def test_environment_text_becomes_the_declared_type(text: str) -> None:
    if text == "on":
        with pytest.raises(Misconfigured):
            load_settings(SECTIONS, env={"HOLDFAST_CACHE_ENABLED": text})
        return
    settings = load_settings(SECTIONS, env={"HOLDFAST_CACHE_ENABLED": text})
    assert settings.section("cache", Cache).enabled is (text in ("true", "1"))


@given(st.lists(st.text(min_size=1, alphabet=st.characters(codec="utf-8", exclude_characters="\x00"))))
def test_lists_pass_through_the_environment_as_json(tags: list[str]) -> None:
    import json

    settings = load_settings(SECTIONS, env={"HOLDFAST_CACHE_TAGS": json.dumps(tags)})
    assert settings.section("cache", Cache).tags == tags


def test_reserved_names_are_left_alone() -> None:
    load_settings(SECTIONS, env={"HOLDFAST_DATA": "/data", "HOLDFAST_CONFIG": "x.toml"})


class Inner(Struct, frozen=True, forbid_unknown_fields=True):
    """A table within a section."""

    diversity: Annotated[float, Meta(ge=0, le=1)] | None = None


class Outer(Struct, frozen=True):
    """A section of tables."""

    variants: Annotated[dict[str, Inner], Meta(description="arms by name")] = {}
    listed: tuple[Inner, ...] = ()
    whole: Inner | None = None


@pytest.mark.parametrize(
    "given",
    [
        {"variants": {"treatment": {"diversty": 0.1}}},
        {"listed": [{"diversty": 0.1}]},
        {"whole": {"diversty": 1}},
    ],
)
def test_a_name_within_a_table_that_nobody_knows_is_told_with_its_nearest(given) -> None:
    with pytest.raises(Misconfigured, match="diversty") as found:
        load_settings({ROOT: Root, "recommend": Outer}, env={}, overrides={"recommend": given})
    assert found.value.hint == "did you mean 'diversity'?"


def test_a_name_like_none_other_is_told_with_what_the_setting_is_for() -> None:
    with pytest.raises(Misconfigured) as found:
        load_settings(
            {ROOT: Root, "recommend": Outer},
            env={},
            overrides={"recommend": {"variants": {"treatment": {"xyz": 1}}}},
        )
    assert found.value.hint == "arms by name"
