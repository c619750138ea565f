"""Bearer tokens of OIDC issuers: where they come from, and until when they hold.

A token is a Secret from the moment it is read. Nothing here writes one anywhere: not into argv, a
file, a log or an error.
"""

from __future__ import annotations

import base64
import binascii
import importlib
import json
import os
import shlex
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagefactory.base.errors import FactoryError, ServiceAway, TrustRefused, UsageFault
from imagefactory.base.http import explain, explain_status
from imagefactory.base.process import Runner
from imagefactory.base.report import Report
from imagefactory.base.values import Secret

if TYPE_CHECKING:
    import httpx

VARIABLE = "IMAGEFACTORY_TOKEN"
FILE_VARIABLE = "IMAGEFACTORY_TOKEN_FILE"
COMMAND_VARIABLE = "IMAGEFACTORY_TOKEN_COMMAND"
COMMAND_SECONDS = 60.0
EARLY_SECONDS = 60.0  # a token that ends sooner is renewed before it is used
DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"  # RFC 8628 3.4
_HOW = (
    f"set {VARIABLE} or {FILE_VARIABLE}, or {COMMAND_VARIABLE}='oidc-token ACCOUNT', or give "
    "unicore.issuer and unicore.client_id in the site record"
)


class TokenRefused(TrustRefused):
    """A token that has ended, or that the server does not take: with a newer one it goes on."""


@dataclass(frozen=True)
class Token:
    """A token and when it ends, in seconds since 1970; None where it does not say."""

    secret: Secret
    source: str
    expires: float | None = None

    def seconds_left(self, now: float) -> float | None:
        return None if self.expires is None else self.expires - now


@dataclass(frozen=True)
class Issuer:
    """An OIDC issuer with the device flow, and our public client there."""

    url: str
    client_id: str


class TokenSource:
    """Gives a token that holds; asks where it came from for a newer one when it is about to end."""

    def __init__(self, fetch: Callable[[], Token], clock: Callable[[], float] = time.time) -> None:
        self._fetch, self._clock = fetch, clock
        self._token: Token | None = None

    def get(self) -> Token:
        """A token that has not ended. Raises TrustRefused if the source has only an old one."""
        now = self._clock()
        if self._token is None or _ends(self._token, now, EARLY_SECONDS):
            self._token = self._newer(now)
            if _ends(self._token, now, 0):
                raise TokenRefused(
                    f"the token has ended {_ago(self._token, now)} ago",
                    where=self._token.source,
                    fix="get a new one there, then go on: imagefactory runs resume RUN",
                )
        return self._token

    def _newer(self, now: float) -> Token:
        old = self._token
        try:
            return self._fetch()
        except FactoryError as err:
            if old is not None and not _ends(old, now, 0):
                return old  # it holds for a moment yet; the next request asks again
            if old is None or isinstance(err, ServiceAway):
                raise
            raise TokenRefused.from_faults(err.faults) from None


def read_token(text: str, source: str) -> Token:
    """A token from its text. Raises TrustRefused for one that cannot go into a header."""
    word = text.strip()
    if not word or not word.isascii() or not word.isprintable() or " " in word:
        raise TrustRefused(
            "there is no token" if not word else "this is no token: it must be one word of ASCII",
            where=source,
            fix=_HOW,
        )
    return Token(Secret(word), source, expiry_of(word))


def expiry_of(token: str) -> float | None:
    """`exp` of a JWT (RFC 7519 4.1.4), unverified: the server judges it. None for other tokens."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        return float(claims["exp"])
    except (ValueError, TypeError, KeyError, binascii.Error):
        return None


@dataclass(frozen=True)
class Surroundings:
    """What the sources look at and do; tests hand in their own."""

    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.time
    load: Callable[[str], Any] = importlib.import_module
    transport: httpx.BaseTransport | None = None
    verify: Any = True


def find_source(issuer: Issuer | None, report: Report, around: Surroundings) -> TokenSource:
    """The first source that there is: file or variable, command, EBRAINS JupyterLab, Jupyter-JSC,
    device flow. Raises UsageFault that says how to give one. Nothing is asked before `get`.
    """
    found = _explicit(around, report) or _notebook(around)
    if found is None and issuer is not None:
        found = DeviceFlow(issuer, report, around).fetch
    if found is None:
        raise UsageFault("there is no token", fix=_HOW)
    return TokenSource(found, around.clock)


def _explicit(around: Surroundings, report: Report) -> Callable[[], Token] | None:
    environment = around.environment
    if environment.get(FILE_VARIABLE):
        return lambda: _from_file(Path(environment[FILE_VARIABLE]).expanduser())
    if environment.get(VARIABLE):
        return lambda: read_token(environment[VARIABLE], f"${VARIABLE}")
    if environment.get(COMMAND_VARIABLE):
        return lambda: _from_command(environment, report)
    return None


def _from_file(path: Path) -> Token:
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as err:
        reason = err.strerror if isinstance(err, OSError) else "it is not ASCII"
        raise UsageFault(
            f"the token's file cannot be read: {reason}", where=str(path), fix=_HOW
        ) from None
    if mode & 0o077:
        raise TrustRefused(
            "other users can read the token's file", where=str(path), fix=f"chmod 600 {path}"
        )
    return read_token(text, str(path))


def _from_command(environment: Mapping[str, str], report: Report) -> Token:
    words = shlex.split(environment[COMMAND_VARIABLE])
    done = Runner(report, environment).run(*words, timeout=COMMAND_SECONDS, check=False)
    if done.status:
        # Neither stream is told: a helper may print the token and then fail.
        raise TrustRefused(
            f"the command for the token ended with exit status {done.status}",
            where=f"${COMMAND_VARIABLE}: {words[0]}",
            fix="run it by hand",
        )
    return read_token(done.output, f"${COMMAND_VARIABLE}: {words[0]}")


def _notebook(around: Surroundings) -> Callable[[], Token] | None:
    """EBRAINS JupyterLab has clb_nb_utils; Jupyter-JSC has the hub (facts/unicore-nmpi.md 4)."""
    try:
        oauth = around.load("clb_nb_utils").oauth
    except ImportError:
        oauth = None
    if oauth is not None:
        return lambda: _from_collaboratory(oauth)
    hub, key = (around.environment.get(f"JUPYTERHUB_API_{word}") for word in ("URL", "TOKEN"))
    if hub and key:
        return lambda: _from_hub(hub, Secret(key), around)
    return None


def _from_collaboratory(oauth: Any) -> Token:
    try:
        text = str(oauth.get_token())
    except Exception as err:  # noqa: BLE001, RUF100 - not ours: any error of it is the same to us
        raise ServiceAway(
            f"EBRAINS JupyterLab gave no token ({type(err).__name__})", where="clb_nb_utils",
            fix="log in again: restart the server of your JupyterLab",
        ) from None  # fmt: skip
    return read_token(text, "clb_nb_utils")


def _from_hub(hub: str, key: Secret, around: Surroundings) -> Token:
    url = f"{hub.rstrip('/')}/user_oauth"
    with _client(around) as client:
        answer = _ask(lambda: client.get(url, headers={"Authorization": f"token {key.reveal()}"}))
    if answer.status_code != 200:
        raise explain_status(answer.status_code, url)
    state = _json(answer, url).get("auth_state")
    found = state.get("access_token") if isinstance(state, dict) else None
    return read_token(str(found or ""), url)


@dataclass
class DeviceFlow:
    """RFC 8628: a person approves in a browser, once; after that the token is refreshed.

    The refresh token lives in this object only.
    """

    issuer: Issuer
    report: Report
    around: Surroundings
    _refresh: Secret | None = None
    _endpoints: dict[str, str] = field(default_factory=dict)

    def fetch(self) -> Token:
        """A new token: refreshed where that works, else by the person."""
        with _client(self.around) as client:
            if not self._endpoints:
                self._endpoints = self._discover(client)
            if self._refresh is not None:
                status, body = self._post(
                    client, "token_endpoint", grant_type="refresh_token",
                    refresh_token=self._refresh.reveal(),
                )  # fmt: skip
                if status == 200:
                    return self._take(body)
                self._refresh = None
            return self._take(self._by_person(client))

    def _discover(self, client: httpx.Client) -> dict[str, str]:
        url = f"{self.issuer.url.rstrip('/')}/.well-known/openid-configuration"
        answer = _ask(lambda: client.get(url))
        if answer.status_code != 200:
            raise explain_status(answer.status_code, url)
        body = _json(answer, url)
        ends = {
            key: str(body.get(key, ""))
            for key in ("token_endpoint", "device_authorization_endpoint")
        }
        if not all(end.startswith("https://") for end in ends.values()):
            raise TrustRefused(
                "the issuer has no device flow over https", where=url, fix="check unicore.issuer"
            )
        return ends

    def _by_person(self, client: httpx.Client) -> dict[str, Any]:
        _, asked = self._post(client, "device_authorization_endpoint", scope="openid")
        if "device_code" not in asked:
            raise self._refused(asked, "the issuer does not begin the device flow")
        place = asked.get("verification_uri_complete") or asked.get("verification_uri")
        self.report.note(f"log in: open {place} and approve the code {asked.get('user_code')}")
        pause = float(asked.get("interval", 5))
        ends = self.around.clock() + float(asked.get("expires_in", 600))
        while self.around.clock() < ends:
            self.around.sleep(pause)
            status, body = self._post(
                client, "token_endpoint", grant_type=DEVICE_GRANT,
                device_code=str(asked["device_code"]),
            )  # fmt: skip
            if status == 200:
                return body
            if body.get("error") == "slow_down":
                pause += 5  # RFC 8628 3.5
            elif body.get("error") != "authorization_pending":
                raise self._refused(body, "the login was not approved")
        raise TrustRefused("nobody approved the login in time", where=self.issuer.url)

    def _take(self, body: Mapping[str, Any]) -> Token:
        if body.get("refresh_token"):
            self._refresh = Secret(str(body["refresh_token"]))
        return read_token(str(body.get("access_token", "")), self.issuer.url)

    def _post(self, client: httpx.Client, end: str, **form: str) -> tuple[int, dict[str, Any]]:
        url = self._endpoints[end]
        data = {"client_id": self.issuer.client_id, **form}
        answer = _ask(lambda: client.post(url, data=data))
        if answer.status_code >= 500:
            raise explain_status(answer.status_code, url)
        return answer.status_code, _json(answer, url)

    def _refused(self, body: Mapping[str, Any], what: str) -> FactoryError:
        # Only the error's code word: a description might quote what we sent.
        return TrustRefused(
            f"{what} ({body.get('error', 'no reason given')})",
            where=self.issuer.url,
            fix="check unicore.client_id of the site record, or give a token another way",
        )


def _client(around: Surroundings) -> httpx.Client:
    from imagefactory.base.http import open_client

    return open_client(around.transport, around.verify, follow_redirects=False)


def _ask(call: Callable[[], httpx.Response]) -> httpx.Response:
    import httpx

    try:
        return call()
    except httpx.HTTPError as err:
        raise explain(err, str(err.request.url.copy_with(query=None))) from None


def _json(answer: httpx.Response, where: str) -> dict[str, Any]:
    try:
        body = answer.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise ServiceAway("the answer is no JSON object", where=where, fix="try again later")
    return body


def _ends(token: Token, now: float, margin: float) -> bool:
    left = token.seconds_left(now)
    return left is not None and left <= margin


def _ago(token: Token, now: float) -> str:
    from imagefactory.base.report import clock

    return clock(now - (token.expires or now))
