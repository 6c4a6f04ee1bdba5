"""Files of every format and every kind of damage: good rows arrive, bad ones are named, twice is once."""

import argparse
import json
from pathlib import Path

import pytest

from holdfast.rooms.recommend import store
from holdfast.rooms.recommend.engine.importing import Plan, Tally, import_interactions, import_items
from holdfast.rooms.recommend.engine.reading import Source, Unreadable
from holdfast.rooms.recommend.rules.rows import BadColumns
from tests.rooms.recommend.conftest import World


async def took(world: World, path: Path, form: str = "", **plan: object) -> Tally:
    return await import_interactions(world.sql, world.clock, Source(path, form), Plan(**plan))  # type: ignore[arg-type] # any setting


async def log(world: World) -> list[tuple[object, ...]]:
    from sqlalchemy import select

    e, u, i = store.events.c, store.users.c, store.items.c
    statement = (
        select(u.user_id, i.item_id, e.kind, e.weight, e.at_ms)
        .select_from(store.events)
        .join(store.users, u.user_no == e.user_no)
        .join(store.items, i.item_no == e.item_no)
        .order_by(u.user_id, i.item_id)
    )
    return [tuple(row) for row in await world.sql.fetch(statement)]


def rejects(path: Path) -> list[tuple[int, str]]:
    file = path.with_name(path.name + ".rejected.jsonl")
    if not file.exists():
        return []
    return [(found["line"], found["reason"]) for found in map(json.loads, file.read_text().splitlines())]


async def test_movielens_lines(world: World, tmp_path: Path) -> None:
    path = tmp_path / "u.data"
    path.write_text("196\t242\t3\t881250949\n186\t302\t5\t891717742\n22\t377\t4\t878887116\t\n")
    tally = await took(world, path, header=False, min_rating=4.0)
    assert (tally.rows, tally.added, tally.rejected) == (3, 3, 0)
    assert await log(world) == [
        ("186", "302", "rating", 5.0, 891717742000),
        ("196", "242", "rating", 0.0, 881250949000),
        ("22", "377", "rating", 5.0, 878887116000),
    ]


async def test_the_same_file_twice_is_the_same_state(world: World, tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text(
        "user_id,movieId,rating,timestamp\n1,10,5,1000000000\n1,11,4,1000000001\n1,10,5,1000000000\n"
    )
    first = await took(world, path)
    before = await log(world)
    world.clock.advance(100.0)
    second = await took(world, path)
    assert (first.added, first.same) == (2, 1)
    assert (second.added, second.same) == (0, 3)
    assert await log(world) == before


async def test_adjacency_lines_and_shuffled_columns(world: World, tmp_path: Path) -> None:
    adjacency = tmp_path / "train.txt"
    adjacency.write_text("0 5 6 7\n1\n2 5\n")
    assert (await took(world, adjacency, "adjacency")).added == 4
    gowalla = tmp_path / "checkins.tsv"
    gowalla.write_text("9\t2010-10-19T23:55:27Z\t30.2\t-97.7\t22847\n")
    columns = {"user": "1", "time": "2", "item": "5"}
    assert (await took(world, gowalla, header=False, columns=columns)).added == 1
    assert (await log(world))[-1] == ("9", "22847", "view", 1.0, 1287532527000)


async def test_json_lines_and_korean_headers(world: World, tmp_path: Path) -> None:
    lines = tmp_path / "log.jsonl"
    lines.write_text(
        '{"user": "민수", "item": "텐트", "type": "purchase", "time": "2025-01-01"}\n'
        '{"user": 7, "item": "텐트"}\n{"item": "x"}\n[1]\n{"user": "u", "item": "i", "type": "fly"}\n'
    )
    tally = await took(world, lines)
    assert (tally.added, tally.rejected) == (2, 3)
    assert [line for line, _ in rejects(lines)] == [3, 4, 5]
    korean = tmp_path / "log.csv"
    korean.write_text("사용자,상품,평점\n민수,침낭,4\n", encoding="utf-8-sig")
    assert (await took(world, korean)).added == 1


async def test_parquet(world: World, tmp_path: Path) -> None:
    import duckdb

    path = tmp_path / "log.parquet"
    duckdb.sql(
        "SELECT 'u' || range AS user_id, range AS item_id, 5.0 AS rating FROM range(10)"
    ).write_parquet(str(path))
    assert (await took(world, path)).added == 10
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(Unreadable, match="Parquet"):
        await took(world, path)
    assert len(await log(world)) == 10


async def test_a_damaged_file_loses_only_its_damaged_lines(world: World, tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    huge = b"u," + b"x" * (2 << 20) + b",3\n"
    path.write_bytes(
        b"user,item,rating\nu1,i1,5\nu1\nu1,i2,\xff\nu1,i3,\x00\n"
        + huge
        + b'u2,"i4,5\nu3,i5,4\n\nu4,"i,6",4\nu5,i7,great\nu6,i8,4,extra\n,i9,4\nu7,i10,5'
    )
    tally = await took(world, path)
    assert [row[:2] for row in await log(world)] == [("u1", "i1"), ("u3", "i5"), ("u4", "i,6"), ("u7", "i10")]
    assert tally.rejected == 8
    found = dict(rejects(path))
    assert sorted(found) == [3, 4, 5, 6, 7, 11, 12, 13]
    assert "UTF-8" in found[4]
    assert "NUL" in found[5]
    assert "longer" in found[6]
    assert "never closed" in found[7]
    assert "'great'" in found[11]


async def test_strict_items_reject_what_the_catalogue_lacks(world: World, tmp_path: Path) -> None:
    await world.items("known")
    path = tmp_path / "log.csv"
    path.write_text("user,item\nu,known\nu,other\n")
    tally = await took(world, path, strict_items=True)
    assert (tally.added, tally.rejected) == (1, 1)
    assert rejects(path)[0][0] == 3
    assert "--strict-items" in rejects(path)[0][1]


@pytest.mark.parametrize(
    ("content", "error"),
    [(b"", "is empty"), (b"\xff\xfeu\0", "UTF-16"), (b"name,price\na,1\n", "no column for the user")],
)
async def test_a_file_that_cannot_be_read_says_what_to_do(
    world: World, tmp_path: Path, content: bytes, error: str
) -> None:
    path = tmp_path / "log.csv"
    path.write_bytes(content)
    with pytest.raises((Unreadable, BadColumns), match=error) as refused:
        await took(world, path)
    assert refused.value.hint


async def test_items_with_multi_line_text_stock_and_expiry(world: World, tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    path.write_text(
        "id,title,description,genres,재고,expires_at,hidden\n"
        '1,"텐트, 2인용","한 줄\n두 줄",캠핑|야외,3,2030-01-01,false\n'
        "2,침낭,,,0,,\n3,랜턴,,a;b,,,yes\n4,의자,,,many,,\n"
    )
    tally = await import_items(world.sql, world.clock, Source(path), {})
    assert (tally.added, tally.rejected) == (3, 1)
    await world.engine.refresh()
    catalogue = world.engine.keeper.catalogue
    assert catalogue.names == ["텐트, 2인용", "침낭", "랜턴"]
    assert catalogue.texts[0] == "한 줄\n두 줄"
    assert catalogue.tags == [("캠핑", "야외"), (), ("a", "b")]
    assert await world.shown("u") == ["1"]


async def test_items_again_change_only_what_changed(world: World, tmp_path: Path) -> None:
    path = tmp_path / "items.jsonl"
    path.write_text('{"id": "a", "name": "one", "tags": ["x", "y"]}\n{"id": "b"}\n{"id": "c\\u0000"}\n')
    first = await import_items(world.sql, world.clock, Source(path), {})
    assert (first.added, first.rejected) == (2, 1)
    before = await world.sql.fetch(store.READ_COUNTER, {"counter": "catalogue"})
    second = await import_items(world.sql, world.clock, Source(path), {})
    assert (second.added, second.changed, second.same) == (0, 0, 2)
    assert await world.sql.fetch(store.READ_COUNTER, {"counter": "catalogue"}) == before
    path.write_text('{"id": "a", "name": "two"}\n')
    assert (await import_items(world.sql, world.clock, Source(path), {})).changed == 1


async def test_interactions_never_overwrite_an_item(world: World, tmp_path: Path) -> None:
    items, path = tmp_path / "items.csv", tmp_path / "log.csv"
    items.write_text("id,name\na,텐트\n")
    path.write_text("user,item\nu,a\nu,bare\n")
    await import_items(world.sql, world.clock, Source(items), {})
    await took(world, path)
    await world.engine.refresh()
    assert world.engine.keeper.catalogue.names == ["텐트", ""]


async def test_more_rows_than_a_batch(world: World, tmp_path: Path) -> None:
    path = tmp_path / "log.tsv"
    path.write_text("user\titem\n" + "".join(f"u{n % 700}\ti{n % 997}\n" for n in range(12_000)))
    tally = await took(world, path)
    assert tally.rows == 12_000
    assert tally.added == len({(n % 700, n % 997) for n in range(12_000)})
    assert tally.added + tally.same == 12_000


async def test_the_verbs_exit_with_two_when_a_file_cannot_be_read(
    world: World, tmp_path: Path, capsys
) -> None:
    from holdfast.rooms.recommend.engine.verbs import Verbs
    from holdfast.rooms.recommend.rules.settings import Config

    verbs = {verb.name: verb for verb in Verbs(lambda: world.engine, Config(), world.sql, world.clock).all()}

    async def run(name: str, *words: str) -> int:
        parser = argparse.ArgumentParser()
        verbs[name].arguments(parser)
        return await verbs[name].run(parser.parse_args(words))

    assert await run("import interactions", str(tmp_path / "none.csv")) == 2
    (tmp_path / "items.csv").write_text("id;name\na;텐트\n")
    assert await run("import items", str(tmp_path / "items.csv")) == 0
    (tmp_path / "log.dat").write_text("1::10::5::978300760\n1::x::bad::0\n")
    assert await run("import interactions", str(tmp_path / "log.dat"), "--no-header") == 0
    (tmp_path / "bad.csv").write_text("user,item,rating\nu,,1\n")
    assert await run("import interactions", str(tmp_path / "bad.csv")) == 1
    assert await run("recommend train") == 0
    assert await run("recommend evaluate") == 0
    assert await run("recommend rollback") == 1
    said = capsys.readouterr()
    assert "popularity" in said.out
    assert "no previous model" in said.err
