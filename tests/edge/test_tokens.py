"""Tokens signed by real keys of every family, and the forgeries that must fail."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from holdfast.edge.tokens import BadToken, TokenRules, Tokens
from holdfast.kernel.errors import Misconfigured

NOW = 1_750_000_000.0
SECRET = "a secret of at least sixty-four bytes, so that every HS algorithm takes it."
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
RSA_OTHER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()


def pem(key: Any, *, private: bool = False) -> str:
    if private:
        return key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()
    return (
        key.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )


def claims(**more: Any) -> dict[str, Any]:
    return {"sub": "ada", "exp": int(NOW) + 3600, **more}


def signed(payload: Mapping[str, Any], key: Any = SECRET, algorithm: str = "HS256", **header: Any) -> bytes:
    return jwt.encode(dict(payload), key, algorithm=algorithm, headers=header or None).encode()


def by_hand(header: Mapping[str, Any], payload: Any, secret: bytes) -> bytes:
    """A token as a forger writes it, past every check of a library."""

    def part(raw: bytes) -> bytes:
        return base64.urlsafe_b64encode(raw).rstrip(b"=")

    head = part(json.dumps(header).encode()) + b"." + part(json.dumps(payload).encode())
    return head + b"." + part(hmac.new(secret, head, hashlib.sha256).digest())


def subject(found: Mapping[str, Any]) -> Any:
    return found["sub"]


def hs(**rules: Any) -> Tokens[Any]:
    return Tokens(TokenRules(algorithms=("HS256",), secret=SECRET, **rules), subject)


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_shared_secrets(algorithm: str) -> None:
    tokens = Tokens(TokenRules(algorithms=(algorithm,), secret=SECRET), subject)
    assert tokens.bearer(signed(claims(), algorithm=algorithm), NOW) == "ada"


@pytest.mark.parametrize(
    ("algorithm", "key"),
    [("RS256", RSA), ("PS256", RSA), ("ES256", EC), ("EdDSA", ED)],
    ids=lambda value: str(value)[:5],
)
@pytest.mark.parametrize("private", [False, True])
def test_keys_from_a_pem_file(algorithm: str, key: Any, private: bool, tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    file.write_text(pem(key, private=private))
    tokens = Tokens(TokenRules(algorithms=(algorithm,), public_key_file=str(file)), subject)
    assert tokens.bearer(signed(claims(), key, algorithm), NOW) == "ada"


def jwks(tmp_path: Path, **keys: Any) -> str:
    made = []
    for kid, key in keys.items():
        family = jwt.algorithms.RSAAlgorithm if hasattr(key, "decrypt") else jwt.algorithms.ECAlgorithm
        made.append({**family.to_jwk(key.public_key(), as_dict=True), "kid": kid, "use": "sig"})
    made.append({"kty": "oct", "kid": "shared", "k": base64.urlsafe_b64encode(SECRET.encode()).decode()})
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps({"keys": made}))
    return str(file)


def test_keys_from_a_key_set_are_found_by_id(tmp_path: Path) -> None:
    rules = TokenRules(algorithms=("RS256", "ES256"), jwks_file=jwks(tmp_path, one=RSA, two=EC))
    tokens = Tokens(rules, subject)
    assert tokens.bearer(signed(claims(), RSA, "RS256", kid="one"), NOW) == "ada"
    assert tokens.bearer(signed(claims(), EC, "ES256", kid="two"), NOW) == "ada"
    for key, algorithm, kid in [(RSA, "RS256", "three"), (RSA, "RS256", "shared"), (EC, "ES256", "one")]:
        with pytest.raises(BadToken):
            tokens.bearer(signed(claims(), key, algorithm, kid=kid), NOW)
    with pytest.raises(BadToken, match="key is not known"):
        tokens.bearer(signed(claims(), RSA, "RS256"), NOW)


def test_a_set_of_one_key_needs_no_id(tmp_path: Path) -> None:
    tokens = Tokens(TokenRules(algorithms=("RS256",), jwks_file=jwks(tmp_path, one=RSA)), subject)
    assert tokens.bearer(signed(claims(), RSA, "RS256"), NOW) == "ada"


def test_a_public_key_used_as_a_shared_secret_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    file.write_text(pem(RSA))
    rules = TokenRules(algorithms=("RS256", "HS256"), secret=SECRET, public_key_file=str(file))
    forged = by_hand({"alg": "HS256", "typ": "JWT"}, claims(), pem(RSA).encode())
    with pytest.raises(BadToken, match="signature"):
        Tokens(rules, subject).bearer(forged, NOW)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (claims(exp=int(NOW) - 31), "expired"),
        (claims(nbf=int(NOW) + 31), "not valid yet"),
        ({"sub": "ada"}, "no exp"),
        (claims(exp="tomorrow"), "exp is not a time"),
        (claims(exp=True), "exp is not a time"),
        (claims(nbf=[1]), "nbf is not a time"),
        (claims(exp=float("inf")), "exp is not a time"),
    ],
)
def test_times_are_checked(payload: dict[str, Any], reason: str) -> None:
    token = by_hand({"alg": "HS256"}, payload, SECRET.encode())
    with pytest.raises(BadToken, match=reason):
        hs().bearer(token, NOW)


def test_clocks_may_differ_by_the_leeway() -> None:
    assert hs().bearer(signed(claims(exp=int(NOW) - 29)), NOW) == "ada"
    assert hs().bearer(signed(claims(nbf=int(NOW) + 29)), NOW) == "ada"
    with pytest.raises(BadToken):
        hs(leeway_s=0.0).bearer(signed(claims(exp=int(NOW))), NOW)


def test_tokens_without_end_only_when_allowed() -> None:
    assert hs(require_expiry=False).bearer(signed({"sub": "ada"}), NOW) == "ada"


@pytest.mark.parametrize(
    ("rules", "payload", "good"),
    [
        ({"audience": ("api",)}, claims(aud="api"), True),
        ({"audience": ("api", "web")}, claims(aud=["web", "mail"]), True),
        ({"audience": ("api",)}, claims(aud="mail"), False),
        ({"audience": ("api",)}, claims(), False),
        ({}, claims(aud="mail"), True),
        ({"issuer": "https://id.example"}, claims(iss="https://id.example"), True),
        ({"issuer": "https://id.example"}, claims(iss="https://evil.example"), False),
        ({"issuer": "https://id.example"}, claims(), False),
    ],
)
def test_audience_and_issuer(rules: dict[str, Any], payload: dict[str, Any], good: bool) -> None:
    tokens = hs(**rules)
    if good:
        assert tokens.bearer(signed(payload), NOW) == "ada"
    else:
        with pytest.raises(BadToken):
            tokens.bearer(signed(payload), NOW)


@pytest.mark.parametrize(
    "token",
    [
        by_hand({"alg": "none"}, claims(), b""),
        by_hand({"alg": "none"}, claims(), b"").rsplit(b".", 1)[0] + b".",
        by_hand({"alg": "NONE"}, claims(), b""),
        by_hand({"alg": "HS512"}, claims(), SECRET.encode()),
        by_hand({"alg": ["HS256"]}, claims(), SECRET.encode()),
        by_hand({}, claims(), SECRET.encode()),
        by_hand({"alg": "HS256"}, ["a list"], SECRET.encode()),
        by_hand({"alg": "HS256", "crit": ["exp"]}, claims(), SECRET.encode()),
        signed(claims(), SECRET + "!"),
        signed(claims())[:-4] + b"AAAA",
        signed(claims()) + b"." + b"x",
        b"..",
        b"a.b.c",
        b"\xff.\xff.\xff",
        b"x" * 20_000,
    ],
)
def test_forgeries_and_rubbish_are_refused(token: bytes) -> None:
    tokens = hs()
    with pytest.raises(BadToken):
        tokens.bearer(token, NOW)
    assert not tokens._memo


@given(st.binary(max_size=200), st.integers(0, 2))
def test_any_bytes_give_a_bad_token_and_nothing_else(raw: bytes, dots: int) -> None:
    with pytest.raises(BadToken):
        hs().bearer(raw + b"." * dots, NOW)


def test_a_verified_token_is_remembered_until_it_ends() -> None:
    reads: list[Mapping[str, Any]] = []

    def read(found: Mapping[str, Any]) -> Any:
        reads.append(found)
        return found["sub"]

    tokens = Tokens(TokenRules(algorithms=("HS256",), secret=SECRET), read)
    token = signed(claims(nbf=int(NOW)))
    assert [tokens.bearer(token, NOW + n) for n in range(3)] == ["ada"] * 3
    assert len(reads) == 1
    with pytest.raises(BadToken, match="expired"):
        tokens.bearer(token, NOW + 3600 + 30)
    with pytest.raises(BadToken, match="not valid yet"):
        tokens.bearer(token, NOW - 31)
    assert tokens.bearer(token, NOW + 3600 + 29) == "ada"


def test_the_memory_stays_bounded_and_forgets_the_longest_unused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("holdfast.edge.tokens._MEMO_ENTRIES", 3)
    tokens = hs()
    made = [signed(claims(n=n)) for n in range(4)]
    for token in (made[0], made[1], made[2], made[0], made[3]):
        tokens.bearer(token, NOW)
    kept = set(tokens._memo)
    assert kept == {hashlib.sha256(made[n]).digest() for n in (0, 2, 3)}


@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        ({"algorithms": ("HS256",), "secret": "short"}, "at least 32 bytes"),
        ({"algorithms": ("HS512",), "secret": "x" * 63}, "at least 64 bytes"),
        ({"algorithms": ("RS256",)}, "needs a public key"),
        ({"algorithms": ("RS256",), "public_key_file": "nowhere.pem"}, "cannot be read"),
        ({"algorithms": ("RS256",), "jwks_file": "nowhere.json"}, "cannot be read"),
    ],
)
def test_a_key_that_does_not_fit_stops_the_start(rules: dict[str, Any], reason: str) -> None:
    with pytest.raises(Misconfigured, match=reason):
        Tokens(TokenRules(**rules), subject)


@pytest.mark.parametrize("content", ["", "rubbish", "[]", "{}", '{"keys": []}', '{"keys": [1]}'])
def test_files_that_hold_no_keys_stop_the_start(content: str, tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(content)
    for rules in ({"jwks_file": str(file)}, {"public_key_file": str(file)}):
        with pytest.raises(Misconfigured):
            Tokens(TokenRules(algorithms=("RS256",), **rules), subject)


def test_a_key_of_another_family_stops_the_start(tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    file.write_text(pem(EC))
    with pytest.raises(Misconfigured, match="does not fit RS256"):
        Tokens(TokenRules(algorithms=("RS256",), public_key_file=str(file)), subject)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "jwt", None)
    with pytest.raises(Misconfigured, match="PyJWT is not installed"):
        hs()
