import pytest

from holdfast.kernel.errors import BadInput
from holdfast.rooms.jobs.rules.engines import ENGINES, NOBODY, Seen, check_engine, role, switched

SERVER = {"is_worker": False}
WORKER = {"is_worker": True}
CASES = [
    # engine, process, serves_jobs, alive, alone_s -> claims, publishes
    ("embedded", SERVER, True, 0, 0, True, False),
    ("embedded", SERVER, False, 2, 0, False, False),
    ("embedded", SERVER, False, 0, 5, False, False),
    ("embedded", SERVER, False, 0, 15, True, False),
    ("embedded", WORKER, False, 0, 0, True, False),
    ("celery", SERVER, True, 1, 0, False, True),
    ("celery", SERVER, True, 0, 5, False, True),
    ("celery", SERVER, True, 0, 15, True, True),
    ("celery", WORKER, True, 0, 99, False, True),
    ("background", SERVER, False, 3, 0, True, False),
    ("background", WORKER, True, 0, 0, False, False),
]


@pytest.mark.parametrize(("engine", "process", "serves", "alive", "alone_s", "claims", "publishes"), CASES)
def test_who_claims(engine, process, serves, alive, alone_s, claims, publishes):
    found = role(Seen(engine, serves_jobs=serves, alive=alive, alone_s=alone_s, **process))
    assert (found.claims, found.publishes) == (claims, publishes)
    assert found.why


def test_in_every_engine_somebody_takes_the_jobs_when_no_worker_is_alive():
    for engine in ENGINES:
        for serves in (True, False):
            assert role(Seen(engine, is_worker=False, serves_jobs=serves, alone_s=60.0)).claims


def test_standing_in_is_known_as_such():
    assert role(Seen("celery", is_worker=False, alone_s=60.0)).is_fallback
    assert not role(Seen("embedded", is_worker=False)).is_fallback
    assert role(Seen("celery", is_worker=False, alone_s=60.0)).why == NOBODY


@pytest.mark.parametrize(
    ("configured", "decided", "durable", "engine"),
    [
        ("embedded", None, None, "embedded"),
        ("celery", None, "", "celery"),
        ("celery", None, "true", "celery"),
        ("celery", None, "False", "background"),
        ("background", None, "1", "embedded"),
        ("celery", "embedded", "false", "embedded"),
        ("celery", "of an older release", "0", "background"),
    ],
)
def test_which_engine_is_in_force(configured, decided, durable, engine):
    assert switched(configured, decided, durable) == engine


def test_words_that_are_none_are_refused():
    with pytest.raises(BadInput, match="USE_DURABLE_WORKER"):
        switched("embedded", None, "maybe")
    with pytest.raises(BadInput, match="no engine"):
        check_engine("kafka")
