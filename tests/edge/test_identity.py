"""Who a caller is taken for, by what it sent and how the service is set up."""

import hashlib
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.edge.identity import ANONYMOUS, ApiKey, Config, Identities, Identity, NotIdentified
from holdfast.kernel.clock import ManualClock
from holdfast.kernel.config import Secret, load_settings
from holdfast.kernel.errors import Misconfigured
from holdfast.kernel.event import Event

SECRET = "a shared secret that is long enough for HS256"
KEY = "hf_live_0123456789"
KEYS = (
    ApiKey(
        sha256=hashlib.sha256(KEY.encode()).hexdigest(),
        user="batch",
        tier="gold",
        tenant="acme",
        scopes=("r",),
    ),
)
JWT: dict[str, Any] = {"jwt_algorithms": ("HS256",), "jwt_secret": Secret(SECRET)}


def token(**claims: Any) -> bytes:
    return jwt.encode({"sub": "ada", "exp": 1_750_003_600, **claims}, SECRET, algorithm="HS256").encode()


def identities(development: bool = False, admin_token: str = "", **settings: Any) -> Identities:
    clock = ManualClock(wall_s=1_750_000_000.0)
    return Identities(Config(**settings), wall=clock.wall, development=development, admin_token=admin_token)


def bearer(raw: bytes | str) -> dict[bytes, list[bytes]]:
    return {b"authorization": [b"Bearer " + (raw if isinstance(raw, bytes) else raw.encode())]}


def test_a_token_names_user_tier_tenant_and_scopes() -> None:
    found = identities(**JWT).read(bearer(token(tier="pro", tenant=7, scope="read write")), "1.2.3.4")
    assert found == Identity("ada", "pro", "7", ("read", "write"), "jwt")


def test_claim_names_are_settings() -> None:
    who = identities(
        **JWT,
        user_claim="user.id",
        tier_claim="https://example.com/tier",
        tenant_claim="org.name.deep",
        scopes_claim="permissions",
    )
    sent = token(
        **{"https://example.com/tier": "pro"},
        user={"id": 42},
        org={"name": "x"},
        permissions=["read", "write"],
    )
    assert who.read(bearer(sent), "") == Identity("42", "pro", "", ("read", "write"), "jwt")


@pytest.mark.parametrize(
    "given", [{b"x-api-key": [KEY.encode()]}, bearer(KEY), {b"authorization": [b"bearer  " + KEY.encode()]}]
)
def test_an_api_key_stands_for_its_user(given: dict[bytes, list[bytes]]) -> None:
    assert identities(api_keys=KEYS).read(given, "") == Identity("batch", "gold", "acme", ("r",), "api_key")


def test_tokens_and_keys_work_side_by_side() -> None:
    who = identities(**JWT, api_keys=KEYS)
    assert who.read(bearer(token()), "").source == "jwt"
    assert who.read(bearer(KEY), "").source == "api_key"
    assert who.read(bearer(token()) | {b"x-api-key": [b"wrong"]}, "").source == "jwt"


@pytest.mark.parametrize(
    ("settings", "given"),
    [
        pytest.param({}, {}, id="nothing"),
        pytest.param({}, {b"traceparent": [b"00-..."]}, id="no credential"),
        pytest.param({}, bearer("anything"), id="a bearer token when none is configured"),
        pytest.param({}, {b"x-api-key": [b"anything"]}, id="a key when none is configured"),
        pytest.param(JWT, {b"x-api-key": [b"anything"]}, id="a key when only tokens are configured"),
        pytest.param(JWT, {b"authorization": [b"Basic YTpi"]}, id="another scheme"),
        pytest.param(JWT, {b"x-user-id": [b"ada"]}, id="the header from anyone"),
        pytest.param(
            {"trusted_proxies": ("10.0.0.0/8",)}, {b"x-user-id": [b"ada"]}, id="the header from elsewhere"
        ),
    ],
)
def test_anonymous(settings: dict[str, Any], given: dict[bytes, list[bytes]]) -> None:
    assert identities(**settings).read(given, "203.0.113.9") is ANONYMOUS


BAD = [
    pytest.param(JWT, bearer(token(exp=1_749_999_000)), id="expired"),
    pytest.param(JWT, bearer(token()[:-3] + b"AAA"), id="wrong signature"),
    pytest.param(JWT, bearer("opaque"), id="not a token"),
    pytest.param(JWT, bearer(""), id="empty"),
    pytest.param(JWT, bearer(token(sub="")), id="no user"),
    pytest.param(JWT, bearer(token(sub="a\nb")), id="line break in the user"),
    pytest.param(JWT, bearer(token(sub="a\u2028b")), id="line end in the user"),
    pytest.param(JWT, bearer(token(sub="가" * 86)), id="user of 258 bytes"),
    pytest.param(JWT, {b"authorization": [b"Bearer a.b.c", b"Bearer a.b.c"]}, id="sent twice"),
    pytest.param({"api_keys": KEYS}, {b"x-api-key": [b"wrong"]}, id="unknown key"),
    pytest.param({"api_keys": KEYS}, {b"x-api-key": [b"\xff\x00"]}, id="rubbish key"),
    pytest.param({"api_keys": KEYS}, {b"x-api-key": [KEY.encode(), KEY.encode()]}, id="key sent twice"),
    pytest.param({"api_keys": KEYS}, bearer("wrong"), id="unknown key as bearer"),
    pytest.param({"trusted_proxies": ("10.0.0.0/8",)}, {b"x-user-id": [b"a\x07b"]}, id="bell in the header"),
    pytest.param({"trusted_proxies": ("10.0.0.0/8",)}, {b"x-user-id": [b"\xff"]}, id="header not UTF-8"),
    pytest.param(
        {"trusted_proxies": ("10.0.0.0/8",)}, {b"x-user-id": [b"x" * 257]}, id="header of 257 bytes"
    ),
]


@pytest.mark.parametrize(("settings", "given"), BAD)
def test_a_bad_credential_is_not_an_anonymous_call(
    settings: dict[str, Any], given: dict[bytes, list[bytes]]
) -> None:
    with pytest.raises(NotIdentified) as caught:
        identities(**settings).read(given, "10.0.0.1")
    assert (caught.value.status, caught.value.code) == (401, "unauthorized")
    challenge = dict(caught.value.headers())[b"www-authenticate"]
    assert challenge.startswith(b'Bearer realm="holdfast", error="invalid_token", error_description="')


@pytest.mark.parametrize(("settings", "given"), BAD)
def test_unless_the_service_says_so(settings: dict[str, Any], given: dict[bytes, list[bytes]]) -> None:
    assert identities(**settings, reject_invalid=False).read(given, "10.0.0.1") is ANONYMOUS


def test_the_header_is_believed_in_development_and_from_trusted_proxies() -> None:
    given = {b"x-user-id": ["김하늘".encode()]}
    assert identities(development=True).read(given, "203.0.113.9") == Identity("김하늘", source="header")
    behind = identities(trusted_proxies=("10.0.0.0/8", "unix"))
    assert behind.read(given, "10.9.8.7").user_id == "김하늘"
    assert behind.read(given, "").user_id == "김하늘"
    assert behind.read({b"x-user-id": [b"  "]}, "10.9.8.7") is ANONYMOUS


def test_a_rooms_own_credentials_are_not_ours_to_judge() -> None:
    clock = ManualClock(wall_s=1_750_000_000.0)
    who = Identities(Config(api_keys=KEYS), wall=clock.wall, others=(b"hf-",))
    assert who.read(bearer("hf-0123456789"), "1.2.3.4") is ANONYMOUS
    assert who.read(bearer(KEY), "1.2.3.4").user_id == "batch"
    with pytest.raises(NotIdentified):
        who.read(bearer("hx-0123456789"), "1.2.3.4")


def test_the_admin_token_is_not_ours_to_judge() -> None:
    who = identities(**JWT, api_keys=KEYS, admin_token="open sesame")
    assert who.read(bearer("open sesame"), "") is ANONYMOUS


def scope(path: str = "/", given: dict[bytes, list[bytes]] | None = None) -> dict[str, Any]:
    made: dict[str, Any] = {"path": path, "client": ("203.0.113.9", 1), "headers": []}
    if given is not None:
        made["holdfast.credentials"] = given
    return made


def test_identify_writes_the_record_and_the_scope() -> None:
    event, sent = Event(), scope(given=bearer(token(tier="pro")))
    found = identities(**JWT).identify(sent, event)
    assert (event.user_id, event.tier) == ("ada", "pro")
    assert sent["holdfast.identity"] is found


def test_identify_leaves_the_record_of_an_anonymous_call_alone() -> None:
    event, sent = Event(), scope()
    assert identities().identify(sent, event) is ANONYMOUS
    assert (event.user_id, event.tier) == ("", "")
    assert sent["holdfast.identity"] is ANONYMOUS


@pytest.mark.parametrize(
    ("path", "open_to_all"),
    [
        ("/", False),
        ("/api/v2/recommend", False),
        ("/healthy", False),
        ("/health", True),
        ("/health/ready", True),
        ("/metrics", True),
    ],
)
def test_required_closes_everything_but_the_open_paths(path: str, open_to_all: bool) -> None:
    who = identities(**JWT, required=True)
    if open_to_all:
        assert who.identify(scope(path), Event()) is ANONYMOUS
    else:
        with pytest.raises(NotIdentified) as caught:
            who.identify(scope(path), Event())
        assert dict(caught.value.headers())[b"www-authenticate"] == b'Bearer realm="holdfast"'
    assert who.identify(scope(path, bearer(token())), Event()).user_id == "ada"


def test_required_holds_when_bad_credentials_pass_as_anonymous() -> None:
    who = identities(**JWT, required=True, reject_invalid=False)
    with pytest.raises(NotIdentified):
        who.identify(scope("/", bearer("rubbish")), Event())


@given(
    st.dictionaries(
        st.sampled_from([b"authorization", b"x-api-key", b"x-user-id"]),
        st.lists(st.binary(max_size=60), max_size=2),
    ),
    st.booleans(),
)
def test_no_bytes_make_a_stranger_somebody(given_headers: dict[bytes, list[bytes]], prefix: bool) -> None:
    who = identities(**JWT, api_keys=KEYS, trusted_proxies=("10.0.0.0/8",))
    if prefix:
        given_headers = {name: [b"Bearer " + raw for raw in values] for name, values in given_headers.items()}
    try:
        found = who.read(given_headers, "203.0.113.9")
    except NotIdentified:
        return
    assert found is ANONYMOUS


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"jwt_secret": Secret(SECRET)}, "no algorithm"),
        ({"trusted_proxies": ("nginx",)}, "identity.trusted_proxies"),
        ({"jwt_algorithms": ("RS256",)}, "public key"),
    ],
)
def test_settings_that_do_not_fit_stop_the_start(settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(Misconfigured, match=reason):
        identities(**settings)


@pytest.mark.parametrize(
    ("given_setting", "named"),
    [
        ({"jwt_algorithms": ["none"]}, "identity.jwt_algorithms"),
        ({"api_keys": [{"sha256": "plain text", "user": "u"}]}, "identity.api_keys"),
        ({"jwt_leeway_s": -1}, "identity.jwt_leeway_s"),
        ({"requird": True}, "identity.requird"),
    ],
)
def test_a_bad_setting_is_named(given_setting: dict[str, Any], named: str) -> None:
    with pytest.raises(Misconfigured, match=named):
        load_settings({"holdfast": Config, "identity": Config}, overrides={"identity": given_setting})


def test_a_secret_of_the_wrong_type_is_not_printed() -> None:
    with pytest.raises(Misconfigured) as caught:
        load_settings(
            {"holdfast": Config, "identity": Config}, overrides={"identity": {"jwt_secret": 271828}}
        )
    assert "271828" not in str(caught.value)
