"""Who calls: a verified token, an API key, or a header that only trusted neighbours may set."""

import hashlib
import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from holdfast.edge.proxies import Networks, peer_address
from holdfast.edge.tokens import BadToken, Claims, TokenRules, Tokens
from holdfast.kernel.config import Secret
from holdfast.kernel.errors import Misconfigured, Unauthorized
from holdfast.kernel.event import Event
from holdfast.ports.services import Scope

CREDENTIALS = frozenset({b"authorization", b"x-api-key", b"x-user-id"})
"""The request headers that identify may look at."""

_Algorithm = Literal[
    "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512",
    "ES256", "ES384", "ES512", "EdDSA",
]  # fmt: skip
_MAX_USER_BYTES = 256
# Control characters, Unicode's line and paragraph ends, and halves of surrogate pairs.
_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]").search


class ApiKey(Struct, frozen=True, forbid_unknown_fields=True):
    """One key, known only by its digest, and whom it stands for."""

    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$", description="SHA-256 of the key, in hex")]
    user: Annotated[str, Meta(min_length=1, max_length=_MAX_USER_BYTES)]
    tier: str = ""
    tenant: str = ""
    scopes: tuple[str, ...] = ()


class Config(Struct, frozen=True, forbid_unknown_fields=True):
    """The `[identity]` settings."""

    required: Annotated[bool, Meta(description="refuse callers without credentials (401)")] = False
    open_paths: Annotated[
        tuple[str, ...], Meta(description="paths, and all below them, that `required` does not close")
    ] = ("/health", "/metrics")
    reject_invalid: Annotated[
        bool,
        Meta(description="refuse a wrong or expired credential (401) instead of passing it as anonymous"),
    ] = True
    jwt_algorithms: Annotated[
        tuple[_Algorithm, ...], Meta(description="algorithms that tokens may be signed with; none: no tokens")
    ] = ()
    jwt_secret: Annotated[Secret, Meta(description="shared secret of the HS algorithms")] = Secret()
    jwt_public_key_file: Annotated[str, Meta(description="PEM file with the public key")] = ""
    jwt_jwks_file: Annotated[str, Meta(description="JSON Web Key Set file; keys are found by kid")] = ""
    jwt_audience: Annotated[
        tuple[str, ...], Meta(description="audiences we answer to; empty: not checked")
    ] = ()
    jwt_issuer: Annotated[str, Meta(description="the only issuer believed; empty: not checked")] = ""
    jwt_leeway_s: Annotated[
        float, Meta(ge=0, le=600, description="how far other machines' clocks may be off, in seconds")
    ] = 30.0
    jwt_require_expiry: Annotated[bool, Meta(description="refuse tokens that never expire")] = True
    user_claim: Annotated[
        str, Meta(min_length=1, description="claim with the user id; a.b looks inside a")
    ] = "sub"
    tier_claim: Annotated[str, Meta(description="claim with the tier")] = "tier"
    tenant_claim: Annotated[str, Meta(description="claim with the tenant")] = "tenant"
    scopes_claim: Annotated[
        str, Meta(description="claim with the scopes: a list, or words parted by spaces")
    ] = "scope"
    api_keys: Annotated[
        tuple[ApiKey, ...], Meta(description="API keys by digest, and whom they stand for")
    ] = ()
    trusted_proxies: Annotated[
        tuple[str, ...],
        Meta(description="networks (CIDR, or `unix`) whose X-Forwarded-For and X-User-ID are believed"),
    ] = ()


class Identity(Struct, frozen=True):
    """Who calls. `source` is `jwt`, `api_key`, `header` or `anonymous`."""

    user_id: str = ""
    tier: str = ""
    tenant: str = ""
    scopes: tuple[str, ...] = ()
    source: str = "anonymous"


ANONYMOUS = Identity()


class NotIdentified(Unauthorized):
    """The credentials are missing or not valid."""

    def __init__(self, detail: str, *, hint: str, error: str = "") -> None:
        super().__init__(detail, hint=hint)
        self.error = error
        """The error code of RFC 6750 3.1; empty when no credential was given."""

    def challenge(self) -> bytes:
        told = super().challenge()
        if self.error:
            told += f', error="{self.error}", error_description="{self.detail}"'.encode("ascii")
        return told


class Identities:
    """Finds out who calls, from headers alone. A wrong credential is never an anonymous call.

    `wall` gives epoch seconds. `development` believes `X-User-ID` from anyone. `admin_token` is the
    one bearer token that is not ours to judge, and those that begin with one of `others` are a room's.
    """

    def __init__(
        self,
        config: Config,
        *,
        wall: Callable[[], float],
        development: bool = False,
        admin_token: str = "",
        others: tuple[bytes, ...] = (),
    ) -> None:
        """Raises Misconfigured for a bad network, a missing key, or keys without an algorithm."""
        self.required = config.required
        self.trusted = _networks(config.trusted_proxies)
        self._config = config
        self._wall = wall
        self._development = development
        self._admin_token = admin_token.encode()
        self._others = others
        self._open = config.open_paths
        self._below = tuple(path.rstrip("/") + "/" for path in config.open_paths)
        self._tokens = _tokens(config, self._from_claims)
        self._keys = {key.sha256: key for key in config.api_keys}

    def identify(self, scope: Scope, event: Event) -> Identity:
        """Write the caller on the record and in `scope["holdfast.identity"]`; raises NotIdentified (401).

        Reads `scope["holdfast.credentials"]`: values by header name, as far as they are in CREDENTIALS.
        """
        given = scope.get("holdfast.credentials")
        found = self.read(given, peer_address(scope)) if given else ANONYMOUS
        if found is ANONYMOUS:
            if self.required and not self._is_open(scope["path"]):
                raise NotIdentified(
                    "this service answers known callers only", hint="send a token or an API key"
                )
        else:
            event.user_id = found.user_id
            event.tier = found.tier
        scope["holdfast.identity"] = found
        return found

    def read(self, given: Mapping[bytes, Sequence[bytes]], peer: str) -> Identity:
        """The caller behind these header values; ANONYMOUS when none of them is a credential of ours.

        The first of bearer token, API key and trusted header decides. Schemes and keys that are not
        configured here belong to the app below and are passed over.
        """
        try:
            authorization = given.get(b"authorization")
            if authorization is not None:
                found = self._bearer(_only(authorization))
                if found is not None:
                    return found
            key = given.get(b"x-api-key")
            if key is not None and self._keys:
                return self._api_key(_only(key))
            user = given.get(b"x-user-id")
            if user is not None and (self._development or peer in self.trusted):
                name = _text(_only(user))
                return Identity(_user_id(name), source="header") if name else ANONYMOUS
        except BadToken as bad:
            if self._config.reject_invalid:
                raise NotIdentified(str(bad), hint="get a new credential", error="invalid_token") from None
        return ANONYMOUS

    def _is_open(self, path: str) -> bool:
        return path in self._open or path.startswith(self._below)

    def _bearer(self, value: bytes) -> Identity | None:
        scheme, _, token = value.partition(b" ")
        token = token.strip()
        if scheme.lower() != b"bearer" or (self._tokens is None and not self._keys):
            return None
        if token.startswith(self._others):
            return None
        if self._admin_token and hmac.compare_digest(token, self._admin_token):
            return None
        if token.count(b".") == 2 and self._tokens is not None:
            return self._tokens.bearer(token, self._wall())
        if self._keys:
            return self._api_key(token)
        raise BadToken("the token cannot be read")

    def _api_key(self, key: bytes) -> Identity:
        digest = hashlib.sha256(key).hexdigest()
        known = self._keys.get(digest)
        # The look-up sees a digest, whose bytes no caller can steer; the comparison takes equal time.
        if known is None or not hmac.compare_digest(known.sha256, digest):
            raise BadToken("the API key is not known")
        return Identity(known.user, known.tier, known.tenant, known.scopes, "api_key")

    def _from_claims(self, claims: Claims) -> Identity:
        config = self._config
        scopes = _claim(claims, config.scopes_claim)
        if isinstance(scopes, str):
            scopes = scopes.split()
        return Identity(
            user_id=_user_id(_scalar(_claim(claims, config.user_claim))),
            tier=_scalar(_claim(claims, config.tier_claim)),
            tenant=_scalar(_claim(claims, config.tenant_claim)),
            scopes=tuple(map(str, scopes)) if isinstance(scopes, list) else (),
            source="jwt",
        )


def _networks(given: Sequence[str]) -> Networks:
    try:
        return Networks(given)
    except ValueError as error:
        raise Misconfigured(
            f"identity.trusted_proxies: {error}", hint="write networks like 10.0.0.0/8"
        ) from None


def _tokens(config: Config, read: Callable[[Claims], Identity]) -> Tokens[Identity] | None:
    if not config.jwt_algorithms:
        if config.jwt_secret or config.jwt_public_key_file or config.jwt_jwks_file:
            raise Misconfigured(
                "a key for tokens is set, but no algorithm",
                hint="set identity.jwt_algorithms, e.g. ['RS256']",
            )
        return None
    return Tokens(
        TokenRules(
            algorithms=config.jwt_algorithms,
            secret=config.jwt_secret.reveal(),
            public_key_file=config.jwt_public_key_file,
            jwks_file=config.jwt_jwks_file,
            audience=config.jwt_audience,
            issuer=config.jwt_issuer,
            leeway_s=config.jwt_leeway_s,
            require_expiry=config.jwt_require_expiry,
        ),
        read,
    )


def _only(values: Sequence[bytes]) -> bytes:
    if len(values) != 1:
        raise BadToken("a credential was sent twice")
    return values[0].strip()


def _text(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise BadToken("the user id is not UTF-8") from None


def _user_id(text: str) -> str:
    """`text` when it can be a user id. Never mended: cutting or cleaning could make two users one."""
    if not text:
        raise BadToken("the credential names no user")
    if _UNFIT(text) or len(text.encode()) > _MAX_USER_BYTES:
        raise BadToken("the user id is too long or holds control characters")
    return text


def _claim(claims: Claims, name: str) -> Any:
    """A claim by its whole name, or by a path of names parted by dots."""
    if name in claims:
        return claims[name]
    found: Any = claims
    for part in name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _scalar(value: Any) -> str:
    """Text and whole numbers as text; anything else names nothing."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""
