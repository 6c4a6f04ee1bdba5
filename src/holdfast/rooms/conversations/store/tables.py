"""The room's tables, and every statement on them.

The log is the lock: a message and its pending answer are added in one statement under the next two numbers of
the conversation, so of two that come at once exactly one finds its numbers free; the pending answer is the
claim, and its `until_ms` the claim's end. A conversation's row holds what is derived from the log, and a
version.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    LargeBinary,
    MetaData,
    Table,
    Text,
    and_,
    bindparam,
    cast,
    delete,
    func,
    insert,
    literal,
    or_,
    select,
    union_all,
    update,
)

from holdfast.kernel.room import Migration
from holdfast.ports.parameters import given_text, given_whole
from holdfast.rooms.conversations.rules.state import WINDOW
from holdfast.rooms.conversations.rules.turns import ASSISTANT, DONE, INTERRUPTED, PENDING, USER

_meta = MetaData()

conversations = Table(
    "conversations",
    _meta,
    Column("id", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("persona", Text, nullable=False),
    Column("language", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("state", LargeBinary, nullable=False),
    Index("conversations_by_owner", "owner", "updated_ms"),
    Index("conversations_by_expiry", "expires_ms"),
)
messages = Table(
    "conversation_messages",
    _meta,
    Column("conversation_id", Text, primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("role", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("done_ms", BigInteger, nullable=False),
    Column("until_ms", BigInteger, nullable=False),
    Column("terms", Text, nullable=False),
    Column("facts", Text, nullable=False),
    Column("repeat_key", Text),
    Column("repeat_digest", Text, nullable=False),
    # On SQLite the rows stand in the order of their key: a conversation is read in one piece.
    sqlite_with_rowid=False,
)
Index(
    "conversation_messages_by_key",
    messages.c.conversation_id,
    messages.c.repeat_key,
    unique=True,
    sqlite_where=messages.c.repeat_key.is_not(None),
    postgresql_where=messages.c.repeat_key.is_not(None),
)


ratings = Table(
    "conversation_ratings",
    _meta,
    Column("conversation_id", Text, primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("score", BigInteger, nullable=False),
    Column("text", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
)


def _create(op: Any) -> None:
    _meta.create_all(op.get_bind(), tables=(conversations, messages))


def _add_ratings(op: Any) -> None:
    _meta.create_all(op.get_bind(), tables=(ratings,))


MIGRATIONS = (
    Migration(1, "conversations and their messages", _create),
    Migration(2, "scores of answers", _add_ratings),
)

_c, _m = conversations.c, messages.c
MESSAGE_COLUMNS = (
    _m.seq,
    _m.role,
    _m.text,
    _m.status,
    _m.at_ms,
    _m.done_ms,
    _m.until_ms,
    _m.terms,
    _m.facts,
)

ADD = insert(conversations)
READ = select(*_c).where(_c.id == bindparam("id"))
_newest = (
    select(func.coalesce(func.max(_m.seq), 0)).where(_m.conversation_id == bindparam("id")).scalar_subquery()
)
OPEN = (
    select(*_c, *MESSAGE_COLUMNS)
    .select_from(
        conversations.outerjoin(
            messages, and_(_m.conversation_id == _c.id, _m.seq > _newest - 2 * (WINDOW + 1))
        )
    )
    .where(_c.id == bindparam("id"))
    .order_by(_m.seq)
)
"""A conversation and its newest messages, in one statement; without messages one row that ends in NULLs."""


_there = and_(_c.id == bindparam("id"), or_(given_whole("known") < 0, _c.version == given_whole("known")))
CLAIM = insert(messages).from_select(
    [column.name for column in messages.columns],
    union_all(
        select(
            _c.id, given_whole("seq"), literal(USER), given_text("text"), literal(DONE),
            given_whole("now_ms"), given_whole("now_ms"), cast(literal(0), BigInteger), given_text("terms"),
            literal("{}"), given_text("key"), given_text("digest"),
        ).where(_there),
        select(
            _c.id, given_whole("answer_seq"), literal(ASSISTANT), literal(""), literal(PENDING),
            given_whole("now_ms"), cast(literal(0), BigInteger), given_whole("until_ms"), literal(""),
            literal("{}"), cast(None, Text), literal(""),
        ).where(_there),
    ),
)  # fmt: skip
"""A message and its pending answer, or neither: 2, or 0 when the conversation is gone or its state is not of
version `known`, unless that is negative. Raises Conflict when one of the numbers is taken, or the key."""

_one = and_(_m.conversation_id == bindparam("of"), _m.seq == bindparam("number"))
FINISH = (
    update(messages)
    .where(_one, _m.status == PENDING)
    .values(
        status=bindparam("becomes"),
        text=bindparam("said"),
        done_ms=bindparam("ended_ms"),
        terms=bindparam("known_by"),
        facts=bindparam("told"),
        until_ms=0,
    )
)
"""1 for whoever still holds the claim."""
LEAVE = (
    update(messages)
    .where(_m.conversation_id == bindparam("of"), _m.status == PENDING, _m.until_ms <= bindparam("past_ms"))
    .values(status=INTERRUPTED, done_ms=bindparam("ended_ms"), until_ms=0, facts=bindparam("told"))
)
"""What a dead process left pending becomes visible as interrupted."""

KEEP_STATE = (
    update(conversations)
    .where(_c.id == bindparam("of"), _c.version == bindparam("known"))
    .values(
        state=bindparam("becomes"),
        version=_c.version + 1,
        updated_ms=bindparam("changed_ms"),
        expires_ms=bindparam("ends_ms"),
    )
)
"""1 when the state is still the one that was read."""

_r = ratings.c
ADD_RATING = insert(ratings).from_select(
    [column.name for column in ratings.columns],
    select(_m.conversation_id, _m.seq, given_whole("score"), given_text("text"), given_whole("now_ms")).where(
        _one, _m.role == ASSISTANT, _m.status != PENDING
    ),
)
"""1, or 0 when there is no such answer, or not yet. Raises Conflict when it has its score."""
READ_RATING = select(_r.score, _r.text, _r.at_ms).where(
    _r.conversation_id == bindparam("of"), _r.seq == bindparam("number")
)
DROP_RATINGS = delete(ratings).where(_r.conversation_id.in_(bindparam("ids", expanding=True)))

ONE_MESSAGE = select(*MESSAGE_COLUMNS).where(_one)
MESSAGES = (
    select(*MESSAGE_COLUMNS)
    .where(_m.conversation_id == bindparam("of"), _m.seq > bindparam("after"))
    .order_by(_m.seq)
    .limit(bindparam("most"))
)
_answer = messages.alias("answer")
BY_KEY = (
    select(_m.repeat_digest, *(_answer.c[column.name] for column in MESSAGE_COLUMNS))
    .select_from(
        messages.join(
            _answer,
            and_(_answer.c.conversation_id == _m.conversation_id, _answer.c.seq == _m.seq + 1),
        )
    )
    .where(_m.conversation_id == bindparam("of"), _m.repeat_key == bindparam("key"))
)

ARCHIVED_TERMS = (
    select(_m.seq, _m.terms)
    .where(
        _m.conversation_id == bindparam("of"),
        _m.seq > bindparam("after"),
        _m.seq < bindparam("before"),
    )
    .order_by(_m.seq)
)
TEXTS = select(_m.seq, _m.role, func.substr(_m.text, 1, bindparam("signs")), _m.at_ms).where(
    _m.conversation_id == bindparam("of"), _m.seq.in_(bindparam("numbers", expanding=True))
)
"""Of these messages the first `signs` characters."""

_count = select(func.coalesce(func.max(_m.seq), 0)).where(_m.conversation_id == _c.id).scalar_subquery()
OF_OWNER = (
    select(_c.id, _c.persona, _c.created_ms, _c.updated_ms, _c.expires_ms, _count)
    .where(
        _c.owner == bindparam("owner"),
        _c.expires_ms > bindparam("now_ms"),
        or_(
            _c.updated_ms < bindparam("before_ms"),
            and_(_c.updated_ms == bindparam("before_ms"), _c.id < bindparam("before_id")),
        ),
    )
    .order_by(_c.updated_ms.desc(), _c.id.desc())
    .limit(bindparam("most"))
)
IDS_OF_OWNER = select(_c.id).where(_c.owner == bindparam("owner")).limit(bindparam("most"))
EXPIRED = select(_c.id).where(_c.expires_ms <= bindparam("now_ms")).limit(bindparam("most"))
DROP = delete(conversations).where(_c.id.in_(bindparam("ids", expanding=True)))
DROP_MESSAGES = delete(messages).where(_m.conversation_id.in_(bindparam("ids", expanding=True)))
COUNT = select(func.count()).select_from(conversations)
