import pytest

from holdfast.rooms.jobs.rules.access import may_see

CASES = [
    # owner, tenant, caller, caller's tenant
    ("", "", "", "", True),
    ("", "", "mina", "farm", True),
    ("mina", "", "mina", "", True),
    ("mina", "", "juno", "", False),
    ("mina", "", "", "", False),
    ("", "farm", "juno", "farm", True),
    ("", "farm", "juno", "shop", False),
    ("mina", "farm", "mina", "farm", True),
    ("mina", "farm", "mina", "shop", False),
    ("mina", "farm", "mina", "", False),
    ("mina", "farm", "juno", "farm", False),
]


@pytest.mark.parametrize(("owner", "tenant", "user", "theirs", "sees"), CASES)
def test_who_may_see_a_job(owner, tenant, user, theirs, sees):
    assert may_see(owner, tenant, user, theirs) is sees
