"""Tokens that a UNICORE/X issues itself (GET rest/core/token): good without the OIDC issuer.

Read in the source of USE 82ce188 (ApplicationBaseResource, AuthNHandler), not recorded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from imagefactory.sandbox.unicore.core import SERVER_DN

LIFETIME = 300  # seconds, where a client names none


class OwnTokens:
    """Issues and checks them. `clock` gives seconds since 1970."""

    def __init__(self, clock: Callable[[], float]) -> None:
        from cryptography.hazmat.primitives.asymmetric import ec

        self._clock = clock
        self._key = ec.generate_private_key(ec.SECP256R1())

    def issue(self, user: str, lifetime: int, renewable: bool) -> str:
        """A token of `user` for `lifetime` seconds; a renewable one may fetch another."""
        import jwt

        issued = int(self._clock())
        claims: dict[str, Any] = {
            "iss": SERVER_DN, "sub": user, "etd": "true", "iat": issued, "exp": issued + lifetime,
        }  # fmt: skip
        if renewable:
            claims["renewable"] = "true"
        return jwt.encode(claims, self._key, algorithm="ES256")

    def read(self, token: str) -> tuple[str, bool] | None:
        """User and whether it is renewable; None: it is none of ours, or has expired."""
        import jwt

        try:
            claims = jwt.decode(
                token,
                self._key.public_key(),
                algorithms=["ES256"],
                issuer=SERVER_DN,
                options={"verify_exp": False, "verify_iat": False, "require": ["exp", "sub"]},
            )
        except jwt.PyJWTError:
            return None
        if claims["exp"] <= self._clock():
            return None
        return str(claims["sub"]), claims.get("renewable") == "true"
