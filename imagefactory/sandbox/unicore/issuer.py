"""A loopback OIDC issuer: discovery, keys, device flow, refresh.

It is shaped like Keycloak, which EBRAINS uses: the same paths below the realm, the same error
words (RFC 6749 5.2, RFC 8628 3.5). It knows no passwords. A device code is approved by whoever
holds the double's control secret and not on its page, which other users of the machine can open.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from imagefactory.sandbox.unicore.wire import Reply, Request, empty_reply, json_reply, text_reply

PATH = "/issuer/realms/sandbox"
CLIENT_ID = "imagefactory-sandbox"
OPENID = "/protocol/openid-connect"
TOKEN_SECONDS = 3600
REFRESH_SECONDS = 8 * 3600
DEVICE_SECONDS = 600
POLL_SECONDS = 1
DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
# EBRAINS says in userinfo what a user may do in which collab.
TEAMS = {"scientist": ("collab-demo-editor", "collab-looked-at-viewer")}
_LETTERS = "BCDFGHJKLMNPQRSTVWXZ"  # RFC 8628 6.1: no vowels, nothing that looks like another
_PAGE = """<!doctype html><title>imagefactory sandbox</title><h1>A loopback issuer</h1>
<p>To approve, type: <code>imagefactory sandbox approve {code}</code>"""


@dataclass
class DeviceGrant:
    """One device flow; `user` is set when a person has approved it, empty when denied."""

    user_code: str
    expires: float
    user: str | None = None
    last_asked: float | None = None


@dataclass
class Issuer:
    """Issues and checks bearer tokens. `base` is https://HOST:PORT of the server it lives in.

    `clock` gives seconds since 1970; tests may set it.
    """

    base: str
    clock: Callable[[], float] = time.time
    lifetime: int = TOKEN_SECONDS
    default_user: str = "scientist"
    teams: Mapping[str, Sequence[str]] = field(default_factory=lambda: TEAMS)
    _key: Any = field(default=None, init=False, repr=False)
    _devices: dict[str, DeviceGrant] = field(default_factory=dict, init=False)
    _refresh: dict[str, tuple[str, float]] = field(default_factory=dict, init=False, repr=False)
    _lock: threading.RLock = field(default_factory=threading.RLock, init=False, repr=False)

    def __post_init__(self) -> None:
        from cryptography.hazmat.primitives.asymmetric import ec

        self._key = ec.generate_private_key(ec.SECP256R1())
        self._key_id = secrets.token_hex(4)

    @property
    def url(self) -> str:
        """The issuer's name, as it stands in its tokens."""
        return f"{self.base}{PATH}"

    def token(self, user: str, lifetime: int | None = None, issuer: str | None = None) -> str:
        """A signed access token of `user`; with a negative lifetime it has expired already."""
        import jwt

        issued = int(self.clock())
        seconds = self.lifetime if lifetime is None else lifetime
        claims = {
            "iss": issuer or self.url,
            "sub": subject_of(user),
            "azp": CLIENT_ID,
            "typ": "Bearer",
            "scope": "openid profile email",
            "preferred_username": user,
            "email": f"{user}@sandbox.test",
            "iat": issued,
            "exp": issued + seconds,
            "jti": secrets.token_hex(8),
        }
        return jwt.encode(claims, self._key, algorithm="ES256", headers={"kid": self._key_id})

    def user_of(self, token: str) -> str | None:
        """The user whose valid token this is; None if issuer, signature or expiry is wrong."""
        import jwt

        try:
            claims = jwt.decode(
                token,
                self._key.public_key(),
                algorithms=["ES256"],
                issuer=self.url,
                options={
                    "verify_exp": False,
                    "verify_iat": False,
                    "require": ["exp", "iss", "sub", "preferred_username"],
                },
            )
        except jwt.PyJWTError:
            return None
        # Our own clock, so that a test can let a token expire.
        return str(claims["preferred_username"]) if claims["exp"] > self.clock() else None

    def handle(self, request: Request) -> Reply:
        """Answer a request whose path begins with PATH."""
        rest = request.path.removeprefix(PATH)
        answers: Mapping[tuple[str, str], Callable[[Request], Reply]] = {
            ("GET", "/.well-known/openid-configuration"): lambda _: json_reply(self._discovery()),
            ("GET", f"{OPENID}/certs"): lambda _: json_reply({"keys": [self._public_key()]}),
            ("GET", f"{OPENID}/userinfo"): self._userinfo,
            ("POST", f"{OPENID}/auth/device"): self._device,
            ("POST", f"{OPENID}/token"): self._token,
            ("GET", "/device"): lambda asked: _page(asked.query.get("user_code", "")),
        }
        answer = answers.get((request.method, rest))
        return answer(request) if answer else empty_reply(404)

    def approve(self, user_code: str, user: str | None = None) -> bool:
        """What a person does in a browser elsewhere; False if there is no such code."""
        return self._settle(user_code, user or self.default_user)

    def deny(self, user_code: str) -> bool:
        """The person says no; False if there is no such code."""
        return self._settle(user_code, "")

    def _settle(self, user_code: str, user: str) -> bool:
        with self._lock:
            for grant in self._devices.values():
                if grant.user_code == user_code:
                    grant.user = user
                    return True
        return False

    def _discovery(self) -> dict[str, Any]:
        openid = f"{self.url}{OPENID}"
        return {
            "issuer": self.url,
            "token_endpoint": f"{openid}/token",
            "device_authorization_endpoint": f"{openid}/auth/device",
            "userinfo_endpoint": f"{openid}/userinfo",
            "jwks_uri": f"{openid}/certs",
            "grant_types_supported": [DEVICE_GRANT, "refresh_token"],
            "id_token_signing_alg_values_supported": ["ES256"],
            "subject_types_supported": ["public"],
            "scopes_supported": ["openid", "profile", "email"],
        }

    def _public_key(self) -> dict[str, Any]:
        from jwt.algorithms import ECAlgorithm

        key = ECAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        return {**key, "kid": self._key_id, "use": "sig", "alg": "ES256"}

    def _userinfo(self, request: Request) -> Reply:
        user = self.user_of(request.headers.get("authorization", "").removeprefix("Bearer "))
        if user is None:
            return _refuse("invalid_token", "Token verification failed", 401)
        return json_reply(
            {
                "sub": subject_of(user),
                "preferred_username": user,
                "name": user.title(),
                "given_name": user.title(),
                "family_name": "Sandbox",
                "email": f"{user}@sandbox.test",
                "roles": {"team": list(self.teams.get(user, ())), "group": []},
            }
        )

    def _device(self, request: Request) -> Reply:
        if request.form().get("client_id") != CLIENT_ID:
            return _refuse("invalid_client", "Invalid client or Invalid client credentials", 401)
        letters = [secrets.choice(_LETTERS) for _ in range(8)]
        code = f"{''.join(letters[:4])}-{''.join(letters[4:])}"
        device = secrets.token_urlsafe(32)
        with self._lock:
            self._devices[device] = DeviceGrant(code, self.clock() + DEVICE_SECONDS)
        return json_reply(
            {
                "device_code": device,
                "user_code": code,
                "verification_uri": f"{self.url}/device",
                "verification_uri_complete": f"{self.url}/device?user_code={code}",
                "expires_in": DEVICE_SECONDS,
                "interval": POLL_SECONDS,
            }
        )

    def _token(self, request: Request) -> Reply:
        form = request.form()
        if form.get("client_id") != CLIENT_ID:
            return _refuse("invalid_client", "Invalid client or Invalid client credentials", 401)
        if form.get("grant_type") == DEVICE_GRANT:
            return self._from_device(form.get("device_code", ""))
        if form.get("grant_type") == "refresh_token":
            return self._from_refresh(form.get("refresh_token", ""))
        return _refuse("unsupported_grant_type", "Unsupported grant_type")

    def _from_device(self, code: str) -> Reply:
        with self._lock:
            grant = self._devices.get(code)
            if grant is None:
                return _refuse("invalid_grant", "Device code not valid")
            asked, grant.last_asked = grant.last_asked, self.clock()
            if grant.expires <= self.clock():
                return _refuse("expired_token", "Device code is expired")
            if grant.user is None:
                if asked is not None and self.clock() - asked < POLL_SECONDS / 2:
                    return _refuse("slow_down", "Slow down")
                return _refuse("authorization_pending", "The authorization request is pending")
            del self._devices[code]
            if not grant.user:
                return _refuse("access_denied", "The end user denied the authorization request")
            return self._grant(grant.user)

    def _from_refresh(self, token: str) -> Reply:
        with self._lock:
            user, expires = self._refresh.pop(token, ("", 0.0))
            if expires <= self.clock():
                return _refuse("invalid_grant", "Token is not active")
            return self._grant(user)

    def _grant(self, user: str) -> Reply:
        refresh = secrets.token_urlsafe(32)
        self._refresh[refresh] = (user, self.clock() + REFRESH_SECONDS)
        return json_reply(
            {
                "access_token": self.token(user),
                "token_type": "Bearer",
                "expires_in": self.lifetime,
                "refresh_token": refresh,
                "refresh_expires_in": REFRESH_SECONDS,
                "scope": "openid profile email",
            }
        )


def subject_of(user: str) -> str:
    """The issuer's own name of a user."""
    return f"00000000-0000-4000-8000-{user.encode().hex()[:12]:0>12}"


def _page(code: str) -> Reply:
    import html

    return text_reply(_PAGE.format(code=html.escape(code, quote=True)), "text/html")


def _refuse(error: str, description: str, status: int = 400) -> Reply:
    return json_reply({"error": error, "error_description": description}, status)
