"""The commands and the admin addresses of money."""

import argparse

import msgspec
import pytest

from holdfast.cli import _room_verbs
from holdfast.edge.respond import decode_body, decode_query
from holdfast.kernel.errors import BadInput
from holdfast.kernel.event import Event
from holdfast.kernel.route import Call
from holdfast.rooms.llm.rules.denials import KeyDisabled, NoSuchKey
from holdfast.rooms.llm.rules.ledger import Entry
from tests.rooms.llm.money.conftest import NOON
from tests.rooms.llm.money.test_money import Held


@pytest.fixture
async def money(sqlite):
    async with Held(sqlite) as found:
        yield found


async def run(money, *words):
    """As `holdfast ...` runs it."""
    parser = argparse.ArgumentParser()
    _room_verbs(parser.add_subparsers(dest="verb"), money.verbs())
    options = parser.parse_args(words)
    return await options.run_verb(options)


async def ask(money, address, *, body=None, query=b"", **params):
    """As the edge asks it."""
    (route,) = [each for each in money.routes() if f"{each.method} {each.path}" == address]
    call = Call(
        Event(),
        params=params,
        query=decode_query(route.query, query) if route.query else None,
        body=decode_body(route.body, msgspec.json.encode(body)) if route.body else None,
    )
    answer = await route.handler(call)
    assert ("cache-control", "no-store") in answer.headers
    assert answer.status == route.status
    return msgspec.to_builtins(answer.content)


async def test_a_key_s_life_by_command(money, capsys):
    assert await run(money, "llm", "keys", "list") == 0
    assert "there are no virtual keys" in capsys.readouterr().out
    words = "llm keys create 실험실 --tenant 서울 --user 김철수 --model gpt-* --model claude-*"
    limits = "--tokens 1000/day --tokens 9000/month --cost 2.5/day --rpm 60 --tpm 5000 --expires 30d"
    assert await run(money, *words.split(), *limits.split()) == 0
    secret = capsys.readouterr().out.strip()
    key = (await money.keys.authenticate(secret)).key
    assert (key.name, key.tenant, key.user, key.models) == ("실험실", "서울", "김철수", ("gpt-*", "claude-*"))
    assert len(key.budgets) == 3
    assert key.expires_ms == (NOON + 30 * 86_400) * 1000
    assert await run(money, "llm", "keys", "list") == 0
    listed = capsys.readouterr().out
    assert key.id in listed
    assert "실험실" in listed
    assert secret not in listed
    assert await run(money, "llm", "keys", "show", key.id) == 0
    assert '"requests_per_minute": 60' in capsys.readouterr().out
    assert await run(money, "llm", "keys", "revoke", key.id) == 0
    with pytest.raises(KeyDisabled):
        await money.keys.authenticate(secret)
    await run(money, "llm", "keys", "list")
    assert "revoked" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    [
        "create x --tokens 1000",
        "create x --tokens 1.5/day",
        "create x --cost many/day",
        "create x --cost 5/week",
        "create x --expires soon",
        "create",
        "burn x",
    ],
)
async def test_a_command_that_is_wrong_says_so(money, words, capsys):
    with pytest.raises(SystemExit) as ended:
        await run(money, "llm", "keys", *words.split())
    assert ended.value.code == 2
    assert "usage:" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", ["show 없는것", "revoke 없는것", "create x --rpm 0", "create x --cost 9e12/day"]
)
async def test_a_command_that_is_refused_says_why(money, words, capsys):
    assert await run(money, "llm", "keys", *words.split()) == 2
    assert capsys.readouterr().err


async def spent(money):
    for number, (user, cost) in enumerate((("김철수", 2_500_000), ("이영희", 1_000_000), ("", 500))):
        money.ledger.write(
            Entry(id=str(number), at_ms=int(NOON * 1000), user=user, model="gpt-4o", tokens_in=10, cost=cost)
        )
    assert await money.ledger.flush()


async def test_spend_is_printed_the_dearest_first(money, capsys):
    await spent(money)
    assert await run(money, "llm", "spend", "--by", "user", "--days", "7") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["user", "김철수", "이영희", "(none)", "total"]
    assert lines[-1].split()[-1] == "0.003501"


async def test_spend_over_http(money):
    await spent(money)
    found = await ask(money, "GET /admin/llm/spend", query=b"by=user&days=2&limit=1")
    assert [line["id"] for line in found["lines"]] == ["김철수"]
    assert found["total"]["cost"] == pytest.approx(0.003_500_5)
    assert found["total"]["calls"] == 3
    assert (await ask(money, "GET /admin/llm/spend"))["lines"][0]["id"] == "gpt-4o"
    with pytest.raises(BadInput, match="not kept by"):
        await ask(money, "GET /admin/llm/spend", query=b"by=nobody")
    with pytest.raises(BadInput):
        await ask(money, "GET /admin/llm/spend", query=b"days=0")


async def test_a_key_s_life_over_http(money):
    made = await ask(
        money,
        "POST /admin/llm/keys",
        body={"name": "웹", "budgets": [{"period": "month", "cost": 20}], "tokens_per_minute": 100},
    )
    assert (await money.keys.authenticate(made["secret"])).key.id == made["key"]["id"]
    listed = await ask(money, "GET /admin/llm/keys")
    assert [key["name"] for key in listed["keys"]] == ["웹"]
    assert made["secret"] not in str(listed)
    revoked = await ask(money, "DELETE /admin/llm/keys/{id}", id=made["key"]["id"])
    assert revoked["disabled"] is True
    with pytest.raises(NoSuchKey):
        await ask(money, "DELETE /admin/llm/keys/{id}", id="없는것")
    for body in (
        {"name": ""},
        {"name": "x", "modles": []},
        {"name": "x", "budgets": [{"period": "day", "cost": -1}]},
    ):
        with pytest.raises(BadInput):
            await ask(money, "POST /admin/llm/keys", body=body)


def test_every_address_asks_for_the_admin_token(sqlite):
    assert [route.public for route in Held(sqlite).money.routes()] == [False] * 4
