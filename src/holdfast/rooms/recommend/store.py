"""The tables of the recommend room and every statement on them.

Items and users are numbered from 0 without gaps, in the order in which they came, and are never renumbered:
an item's number is its place in every array and every model. Three counters in `recommend_state` say that
something changed: `catalogue` (items), `models` (artefacts), and each user's own `revision` (their events).
A request reads all three in one statement, so its answer is right however many processes write.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    LargeBinary,
    MetaData,
    Table,
    Text,
    and_,
    bindparam,
    case,
    delete,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)

from holdfast.kernel.room import Migration
from holdfast.ports.upsert import insert_ignore, upsert

_meta = MetaData()

state = Table(
    "recommend_state",
    _meta,
    Column("name", Text, primary_key=True),
    Column("value", BigInteger, nullable=False),
)
items = Table(
    "recommend_items",
    _meta,
    Column("item_no", BigInteger, primary_key=True, autoincrement=False),
    Column("item_id", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("tags", Text, nullable=False),
    Column("stock", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("hidden", BigInteger, nullable=False),
    Column("version", BigInteger, nullable=False, index=True),
)
users = Table(
    "recommend_users",
    _meta,
    Column("user_no", BigInteger, primary_key=True, autoincrement=False),
    Column("user_id", Text, nullable=False, unique=True),
    Column("revision", BigInteger, nullable=False),
    Column("interests", Text, nullable=False),
    Column("segment", Text, nullable=False),
)
events = Table(
    "recommend_events",
    _meta,
    Column("event_id", Text, primary_key=True),
    Column("user_no", BigInteger, nullable=False),
    Column("item_no", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("weight", Float, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("received_ms", BigInteger, nullable=False),
)
replies = Table(
    "recommend_replies",
    _meta,
    Column("key", Text, primary_key=True),
    Column("digest", Text, nullable=False),
    Column("answer", LargeBinary, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
)
shown = Table(
    "recommend_shown",
    _meta,
    Column("answer_id", Text, primary_key=True),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("user_id", Text, nullable=False),
    Column("item_no", BigInteger, nullable=False),
    Column("propensity", Float, nullable=False),
    Column("explored", BigInteger, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
)
artefacts = Table(
    "recommend_artefacts",
    _meta,
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column("artefact", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("standing", Text, nullable=False),
    Column("ndcg", Float, nullable=False),
    Column("rival_ndcg", Float),
    Column("reason", Text, nullable=False),
    Column("events", BigInteger, nullable=False),
    Column("through_ms", BigInteger, nullable=False),
    Column("trained_ms", BigInteger, nullable=False),
)
"""standing: `current`, `previous`, `retired` or `refused`. through_ms: the newest event it learned from."""

COUNTERS = ("catalogue", "models", "next_item", "next_user", "training_until_ms")


def _create(op: Any) -> None:
    """Every table of the first version; the column objects are copied, as alembic attaches them anew."""
    for table in (state, items, users, events, replies, shown, artefacts):
        op.create_table(table.name, *(column._copy() for column in table.columns))
    op.create_index("recommend_events_by_user", "recommend_events", ["user_no", "received_ms"])
    op.create_index("recommend_events_by_receipt", "recommend_events", ["received_ms"])
    op.create_index("recommend_events_by_time", "recommend_events", ["at_ms"])
    op.create_index("recommend_shown_by_time", "recommend_shown", ["at_ms"])
    op.create_index("recommend_replies_by_time", "recommend_replies", ["at_ms"])
    op.bulk_insert(state, [{"name": name, "value": 0} for name in COUNTERS])


MIGRATIONS = (Migration(1, "items, users, events, replies, shown answers, artefacts", _create),)


def _counter(name: str) -> Any:
    return select(state.c.value).where(state.c.name == name).scalar_subquery()


_one = select(literal(1).label("one")).subquery()

SITUATION = select(
    _counter("catalogue"),
    _counter("models"),
    users.c.user_no,
    users.c.revision,
    users.c.interests,
    users.c.segment,
).select_from(_one.outerjoin(users, users.c.user_id == bindparam("user_id")))
"""One row: catalogue version, models version, and the user's row or NULLs."""

BUMP = update(state).where(state.c.name == bindparam("counter")).values(value=state.c.value + bindparam("by"))
"""Add to a counter; on PostgreSQL this also makes its other writers wait until this transaction ends."""
READ_COUNTER = select(state.c.value).where(state.c.name == bindparam("counter"))
TAKE_TRAINING = (
    update(state)
    .where(and_(state.c.name == "training_until_ms", state.c.value < bindparam("now_ms")))
    .values(value=bindparam("until_ms"))
)
"""1 for the one process that may train until `until_ms`; 0 while another does."""
END_TRAINING = update(state).where(state.c.name == "training_until_ms").values(value=0)

SAVE_ITEM = upsert(
    items, key=("item_id",), update=("name", "text", "tags", "stock", "expires_ms", "hidden", "version")
)
FIND_ITEM = select(items.c.item_no).where(items.c.item_id == bindparam("item_id"))
_ITEM_COLUMNS = tuple(column for column in items.columns if column.name != "version")
ITEMS_OF = select(*_ITEM_COLUMNS).where(items.c.item_id.in_(bindparam("item_ids", expanding=True)))
ITEMS_CHANGED = (
    select(*_ITEM_COLUMNS)
    .where(and_(items.c.version > bindparam("version"), items.c.item_no >= bindparam("from_no")))
    .order_by(items.c.item_no)
    .limit(bindparam("most"))
)

ADD_USER = insert_ignore(users, key=("user_id",))
USERS_OF = select(users.c.user_id, users.c.user_no).where(
    users.c.user_id.in_(bindparam("user_ids", expanding=True))
)
TOUCH_USER = update(users).where(users.c.user_no == bindparam("number")).values(revision=users.c.revision + 1)
SAVE_PERSONA = (
    update(users)
    .where(users.c.user_no == bindparam("number"))
    .values(
        interests=func.coalesce(bindparam("wishes", type_=Text), users.c.interests),
        segment=func.coalesce(bindparam("group_name", type_=Text), users.c.segment),
        revision=users.c.revision + 1,
    )
)
EVENTS_KNOWN = select(events.c.event_id).where(events.c.event_id.in_(bindparam("event_ids", expanding=True)))
ADD_EVENT = insert_ignore(events, key=("event_id",))
EVENTS_SINCE = select(
    events.c.item_no, events.c.kind, events.c.weight, events.c.at_ms, events.c.received_ms
).where(and_(events.c.user_no == bindparam("user_no"), events.c.received_ms >= bindparam("since_ms")))
EVENTS_OF_USERS = (
    select(events.c.user_no, events.c.item_no, events.c.weight, events.c.at_ms)
    .where(and_(events.c.user_no >= bindparam("from_no"), events.c.user_no < bindparam("to_no")))
    .order_by(events.c.user_no)
)
NEW_EVENTS = select(func.count()).select_from(
    select(events.c.received_ms)
    .where(events.c.received_ms > bindparam("since_ms"))
    .limit(bindparam("most"))
    .subquery()
)
NEWEST_RECEIPT = select(func.max(events.c.received_ms))
COUNTS_OF_USERS = (
    select(events.c.item_no, func.sum(events.c.weight), func.count())
    .where(and_(events.c.user_no >= bindparam("from_no"), events.c.user_no < bindparam("to_no")))
    .where(events.c.received_ms <= bindparam("until_ms"))
    .group_by(events.c.item_no)
)
# The newest part of the trending window counts fully, then half, then a fifth.
_FADED = events.c.weight * case(
    (events.c.at_ms > bindparam("newest_ms"), 1.0),
    (events.c.at_ms > bindparam("middle_ms"), 0.5),
    (events.c.at_ms > bindparam("oldest_ms"), 0.2),
    else_=0.0,
)
COUNTS_RECEIVED = (
    select(events.c.item_no, func.sum(events.c.weight), func.count(), func.sum(_FADED))
    .where(and_(events.c.received_ms > bindparam("since_ms"), events.c.received_ms <= bindparam("until_ms")))
    .group_by(events.c.item_no)
)
COUNTS_LATELY = (
    select(events.c.item_no, func.sum(_FADED))
    .where(and_(events.c.at_ms > bindparam("oldest_ms"), events.c.received_ms <= bindparam("until_ms")))
    .group_by(events.c.item_no)
)
SEGMENT_COUNTS = (
    select(users.c.segment, events.c.item_no, func.sum(events.c.weight))
    .select_from(events.join(users, users.c.user_no == events.c.user_no))
    .where(users.c.segment != "")
    .group_by(users.c.segment, events.c.item_no)
)

KEEP_REPLY = insert_ignore(replies, key=("key",))
FILL_REPLY = update(replies).where(replies.c.key == bindparam("reply_key")).values(answer=bindparam("filled"))
FIND_REPLY = select(replies.c.digest, replies.c.answer).where(replies.c.key == bindparam("key"))
FORGET_REPLIES = delete(replies).where(replies.c.at_ms < bindparam("before_ms"))

ADD_SHOWN = insert_ignore(shown, key=("answer_id", "position"))
FORGET_SHOWN = delete(shown).where(shown.c.at_ms < bindparam("before_ms"))
NEWEST_SHOWN = (
    select(shown.c.answer_id, shown.c.user_id, shown.c.item_no)
    .where(shown.c.at_ms >= bindparam("since_ms"))
    .order_by(shown.c.at_ms.desc(), shown.c.answer_id, shown.c.position)
    .limit(bindparam("most"))
)

ADD_ARTEFACT = insert(artefacts)
NEXT_ARTEFACT = select(func.coalesce(func.max(artefacts.c.version), 0) + 1)
SET_STANDING = (
    update(artefacts).where(artefacts.c.standing == bindparam("was")).values(standing=bindparam("becomes"))
)
SET_STANDING_OF = (
    update(artefacts).where(artefacts.c.version == bindparam("number")).values(standing=bindparam("becomes"))
)
SERVING = select(*artefacts.columns).where(
    or_(artefacts.c.standing == "current", artefacts.c.standing == "previous")
)
NEWEST_ARTEFACT = select(*artefacts.columns).order_by(artefacts.c.version.desc()).limit(1)

EVENT_COUNT = select(func.count()).select_from(events)
