"""A small made-up shop to look at: the same 300 items, 120 people and 2,000 events on every machine."""

import random
from collections.abc import Iterator

from holdfast.rooms.recommend.engine.engine import Engine
from holdfast.rooms.recommend.engine.writing import (
    Item,
    add_events,
    items_of,
    save_items,
    save_persona,
    users_of,
)
from holdfast.rooms.recommend.rules.events import WEIGHTS, event_id

ITEMS, USERS, EVENTS = 300, 120, 2_000
SEED = 20_260

THEMES: tuple[tuple[str, str, tuple[tuple[str, str], ...]], ...] = (
    (
        "camping",
        "캠핑",
        (("tent", "텐트"), ("sleeping bag", "침낭"), ("lantern", "랜턴"), ("camp chair", "캠핑 의자")),
    ),
    (
        "coffee",
        "커피",
        (
            ("hand grinder", "핸드 그라인더"),
            ("dripper", "드리퍼"),
            ("coffee beans", "원두"),
            ("kettle", "주전자"),
        ),
    ),
    (
        "running",
        "러닝",
        (
            ("running shoes", "러닝화"),
            ("windbreaker", "바람막이"),
            ("sports watch", "스포츠 시계"),
            ("socks", "양말"),
        ),
    ),
    (
        "kitchen",
        "주방",
        (
            ("frying pan", "프라이팬"),
            ("rice cooker", "밥솥"),
            ("chef's knife", "식도"),
            ("cutting board", "도마"),
        ),
    ),
    (
        "desk",
        "책상",
        (("keyboard", "키보드"), ("monitor arm", "모니터 암"), ("desk lamp", "스탠드"), ("notebook", "공책")),
    ),
    (
        "garden",
        "정원",
        (
            ("flower pot", "화분"),
            ("watering can", "물뿌리개"),
            ("seeds", "씨앗"),
            ("pruning shears", "전지가위"),
        ),
    ),
)
LOOKS = (
    ("light", "가벼운"),
    ("sturdy", "튼튼한"),
    ("small", "작은"),
    ("large", "큰"),
    ("red", "빨간"),
    ("black", "검은"),
    ("wooden", "나무"),
    ("folding", "접이식"),
    ("silent", "조용한"),
    ("classic", "고전적인"),
    ("warm", "따뜻한"),
    ("quick", "빠른"),
    ("soft", "부드러운"),
)
SEGMENTS = ("home", "outdoor", "office")
_FOND = {
    "camping": "outdoor",
    "running": "outdoor",
    "garden": "home",
    "kitchen": "home",
    "coffee": "office",
    "desk": "office",
}
_DAY_MS = 86_400_000


async def seed_demo(engine: Engine) -> None:
    """Fill an empty database with the demo shop, train once, answer from it; one with items stays.

    Every third name is Korean alone, every third English alone, the others both.
    """
    await engine.refresh()
    if len(engine.keeper.catalogue):
        return
    await save_items(engine.sql, list(catalogue()))
    now_ms = int(engine.now_s() * 1000)
    async with engine.sql.transaction() as tx:
        events = list(log(now_ms))
        users = await users_of(tx, [event["user"] for event in events])
        items = await items_of(tx, [event["item"] for event in events], create=False)
        await add_events(
            tx,
            [
                {
                    "event_id": event_id("demo", place),
                    "user_no": users[event["user"]],
                    "item_no": items[event["item"]],
                    "kind": event["kind"],
                    "weight": WEIGHTS[event["kind"]],
                    "at_ms": int(event["at_ms"]),
                    "received_ms": now_ms,
                }
                for place, event in enumerate(events)
            ],
        )
    for user in range(USERS):
        theme = THEMES[user % len(THEMES)]
        await save_persona(engine.sql, f"user-{user}", [theme[1] if user % 2 else theme[0]], _FOND[theme[0]])
    await engine.train()


def catalogue() -> Iterator[Item]:
    """The items: a theme, a thing and a look each; some are sold out or counted."""
    for number in range(ITEMS):
        theme_en, theme_ko, things = THEMES[number % len(THEMES)]
        thing_en, thing_ko = things[number // len(THEMES) % len(things)]
        look_en, look_ko = LOOKS[number // (len(THEMES) * len(things)) % len(LOOKS)]
        english, korean = f"{look_en} {thing_en}", f"{look_ko} {thing_ko}"
        name = (f"{english} · {korean}", korean, english)[number % 3]
        yield Item(
            item_id=f"item-{number:03}",
            name=name,
            text=f"{english} for {theme_en}. {theme_ko}에 쓰는 {korean}.",
            tags=(theme_en, theme_ko, thing_en),
            stock=0 if number % 37 == 36 else -1 if number % 2 else 5 + number % 11,
        )


def log(now_ms: int) -> Iterator[dict[str, str]]:
    """Events of 30 days: people like one theme much, another a little, and the first things of each more."""
    chance = random.Random(SEED)  # noqa: S311 - a made-up shop, no secret
    kinds = ("view", "view", "view", "click", "click", "like", "purchase")
    for place in range(EVENTS):
        user = chance.randrange(USERS)
        share = chance.random()
        theme = user if share < 0.7 else user + 1 if share < 0.85 else chance.randrange(len(THEMES))
        rank = int(chance.betavariate(1.0, 2.5) * (ITEMS // len(THEMES)))
        age_ms = int((1.0 - place / EVENTS) * 30 * _DAY_MS)
        yield {
            "user": f"user-{user}",
            "item": f"item-{theme % len(THEMES) + rank * len(THEMES):03}",
            "kind": chance.choice(kinds),
            "at_ms": str(now_ms - age_ms),
        }
