"""Signed tokens (JWT, RFC 7519 and 8725): algorithms pinned, claims checked, good ones remembered."""

import hashlib
import math
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

from msgspec import Struct

from holdfast.kernel.errors import Misconfigured

# RFC 7518 3.2: a key at least as long as the hash's output.
_SECRET_BYTES = {"HS256": 32, "HS384": 48, "HS512": 64}
_MEMO_ENTRIES = 4096
_MAX_TOKEN_BYTES = 16 * 1024


T = TypeVar("T")
Claims = Mapping[str, Any]


class BadToken(Exception):
    """Why a token is not believed; the text is safe to show."""


class TokenRules(Struct, frozen=True):
    """What a token must satisfy. Files are read once, at the start."""

    algorithms: tuple[str, ...]
    secret: str = ""
    public_key_file: str = ""
    jwks_file: str = ""
    audience: tuple[str, ...] = ()
    issuer: str = ""
    leeway_s: float = 30.0
    require_expiry: bool = True


class _Verified(Struct, Generic[T], frozen=True):
    bearer: T
    begins_s: float
    ends_s: float


class Tokens(Generic[T]):
    """Verifies tokens; one that was verified is afterwards one digest and one look-up until it ends.

    `read` makes out of a token's claims whatever its bearer is to the caller; it may raise BadToken.
    """

    def __init__(self, rules: TokenRules, read: Callable[[Claims], T]) -> None:
        """Raises Misconfigured when PyJWT is missing or a key does not fit its algorithm."""
        try:
            import jwt
        except ImportError:
            raise Misconfigured(
                "tokens are configured, but PyJWT is not installed", hint="pip install 'holdfast[jwt]'"
            ) from None
        self._jwt = jwt
        self._rules = rules
        self._read = read
        self._keys = _load_keys(jwt, rules)
        self._options: dict[str, Any] = {
            # Times are checked against the clock that is passed in.
            "verify_exp": False,
            "verify_nbf": False,
            "verify_iat": False,
            "verify_aud": bool(rules.audience),
            "verify_iss": bool(rules.issuer),
            "require": ["exp"] if rules.require_expiry else [],
        }
        self._memo: OrderedDict[bytes, _Verified[T]] = OrderedDict()

    def bearer(self, token: bytes, now_s: float) -> T:
        """Whom a token speaks for at epoch second `now_s`; raises BadToken when it is not valid."""
        digest = hashlib.sha256(token).digest()
        known = self._memo.get(digest)
        if known is None:
            known = self._verify(token)
            self._within(known, now_s)
            self._memo[digest] = known
            if len(self._memo) > _MEMO_ENTRIES:
                self._memo.popitem(last=False)
        else:
            self._memo.move_to_end(digest)
            self._within(known, now_s)
        return known.bearer

    def _within(self, known: _Verified[T], now_s: float) -> None:
        if now_s >= known.ends_s + self._rules.leeway_s:
            raise BadToken("the token has expired")
        if now_s < known.begins_s - self._rules.leeway_s:
            raise BadToken("the token is not valid yet")

    def _verify(self, token: bytes) -> _Verified[T]:
        if len(token) > _MAX_TOKEN_BYTES:
            raise BadToken("the token is too long")
        jwt = self._jwt
        try:
            header = jwt.get_unverified_header(token)
            key, algorithm = self._key(header)
            claims = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                audience=list(self._rules.audience) or None,
                issuer=self._rules.issuer or None,
                options=self._options,
            )
        except jwt.InvalidAudienceError:
            raise BadToken("the token is for another audience") from None
        except jwt.InvalidIssuerError:
            raise BadToken("the token is from another issuer") from None
        except jwt.MissingRequiredClaimError as error:
            raise BadToken(f"the token has no {error.claim}") from None
        except jwt.InvalidSignatureError:
            raise BadToken("the token's signature does not match") from None
        except (jwt.PyJWTError, ValueError, TypeError):
            # Python's own errors: what a hostile header makes of the parser below.
            raise BadToken("the token cannot be read") from None
        begins_s, ends_s = _moment(claims, "nbf", -math.inf), _moment(claims, "exp", math.inf)
        return _Verified(self._read(claims), begins_s, ends_s)

    def _key(self, header: Mapping[str, Any]) -> tuple[Any, str]:
        algorithm = header.get("alg")
        if not isinstance(algorithm, str) or algorithm not in self._rules.algorithms:
            raise BadToken("the token's algorithm is not one of ours")
        if algorithm in _SECRET_BYTES:
            return self._rules.secret, algorithm
        kid = header.get("kid")
        if kid is None and len(self._keys) == 1:
            return next(iter(self._keys.values())), algorithm
        key = self._keys.get(kid if isinstance(kid, str) and kid in self._keys else "")
        if key is None:
            raise BadToken("the token's key is not known")
        return key, algorithm


def _moment(claims: Claims, name: str, missing: float) -> float:
    value = claims.get(name)
    if value is None:
        return missing
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise BadToken(f"the token's {name} is not a time")
    return float(value)


def _load_keys(jwt: Any, rules: TokenRules) -> dict[str, Any]:
    """Public keys by key id; the one of a PEM file stands under the empty id."""
    for algorithm in rules.algorithms:
        needed = _SECRET_BYTES.get(algorithm)
        if needed is not None and len(rules.secret.encode()) < needed:
            raise Misconfigured(
                f"{algorithm} needs a secret of at least {needed} bytes", hint="set identity.jwt_secret"
            )
    keys: dict[str, Any] = {}
    if rules.jwks_file:
        keys.update(_load_jwks(jwt, rules.jwks_file))
    public = [algorithm for algorithm in rules.algorithms if algorithm not in _SECRET_BYTES]
    if rules.public_key_file:
        pem = _read(rules.public_key_file)
        for algorithm in public:
            keys[""] = _prepare(jwt, algorithm, pem, rules.public_key_file)
    if public and not keys:
        raise Misconfigured(
            f"{public[0]} needs a public key",
            hint="set identity.jwt_public_key_file or identity.jwt_jwks_file",
        )
    return keys


def _load_jwks(jwt: Any, path: str) -> dict[str, Any]:
    try:
        found = jwt.PyJWKSet.from_json(_read(path)).keys
    except (jwt.PyJWTError, ValueError, TypeError, AttributeError):
        raise Misconfigured(
            f"{path} is no JSON Web Key Set", hint='it must hold {"keys": [...]} (RFC 7517)'
        ) from None
    # A symmetric key in a published set would let anyone who reads it sign.
    return {key.key_id or "": _public(key.key) for key in found if key.key_type != "oct"}


def _prepare(jwt: Any, algorithm: str, pem: str, path: str) -> Any:
    try:
        key = jwt.get_algorithm_by_name(algorithm).prepare_key(pem)
    except (jwt.PyJWTError, ValueError, TypeError):
        raise Misconfigured(
            f"the key in {path} does not fit {algorithm}", hint="give a PEM public key"
        ) from None
    except NotImplementedError:
        raise Misconfigured(
            f"{algorithm} needs the cryptography package", hint="pip install 'holdfast[jwt]'"
        ) from None
    return _public(key)


def _public(key: Any) -> Any:
    """The public half, should the file hold both."""
    return key.public_key() if hasattr(key, "public_key") else key


def _read(path: str) -> str:
    try:
        return Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"{path} cannot be read: {error}", hint="mend the path") from None
