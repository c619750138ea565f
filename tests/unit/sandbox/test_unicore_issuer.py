"""The loopback issuer: device flow, refresh, keys, and which tokens the double takes."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import jwt
import pytest

from imagefactory.sandbox.unicore import FakeLogin, start_unicore
from imagefactory.sandbox.unicore.issuer import CLIENT_ID, DEVICE_GRANT, OPENID, PATH, Issuer
from imagefactory.sandbox.unicore.own_tokens import OwnTokens
from imagefactory.sandbox.unicore.wire import Reply, Request

BASE = "https://127.0.0.1:1"


@dataclass
class Flow:
    """An issuer with a clock that stands still unless it is moved."""

    now: float = 1_800_000_000.0
    issuer: Issuer = field(init=False)

    def __post_init__(self) -> None:
        self.issuer = Issuer(BASE, clock=lambda: self.now)

    def get(self, path: str) -> Any:
        return body(self.issuer.handle(Request("GET", f"{PATH}{path}")))

    def post(self, path: str, **form: str) -> tuple[int, Any]:
        content = urlencode({"client_id": CLIENT_ID, **form}).encode()
        reply = self.issuer.handle(Request("POST", f"{PATH}{OPENID}{path}", body=content))
        return reply.status, body(reply)

    def poll(self, device: str) -> tuple[int, Any]:
        return self.post("/token", grant_type=DEVICE_GRANT, device_code=device)

    def refresh(self, token: str) -> tuple[int, Any]:
        return self.post("/token", grant_type="refresh_token", refresh_token=token)


def body(reply: Reply) -> Any:
    return json.loads(b"".join(reply.body))


@pytest.fixture
def flow() -> Flow:
    return Flow()


def test_discovery_leads_to_what_there_is(flow: Flow) -> None:
    found = flow.get("/.well-known/openid-configuration")
    assert found["issuer"] == f"{BASE}{PATH}"
    for key in ("token_endpoint", "device_authorization_endpoint"):
        path = found[key].removeprefix(f"{BASE}{PATH}{OPENID}")
        assert flow.post(path, client_id="unknown")[0] == 401
    assert flow.get(f"{OPENID}/certs")["keys"]


def test_a_token_is_verified_with_the_published_key(flow: Flow) -> None:
    token = flow.issuer.token("scientist")
    key = jwt.PyJWK(flow.get(f"{OPENID}/certs")["keys"][0])
    assert jwt.get_unverified_header(token)["kid"] == key.key_id
    claims = jwt.decode(token, key, algorithms=["ES256"], options={"verify_iat": False})
    assert claims["preferred_username"] == "scientist"
    assert claims["exp"] - claims["iat"] == flow.issuer.lifetime


def test_the_device_flow(flow: Flow) -> None:
    _, given = flow.post("/auth/device")
    assert flow.poll(given["device_code"]) == (
        400,
        {
            "error": "authorization_pending",
            "error_description": "The authorization request is pending",
        },
    )
    assert given["user_code"] in given["verification_uri_complete"]
    assert flow.issuer.approve(given["user_code"])
    status, found = flow.poll(given["device_code"])
    assert status == 200
    assert flow.issuer.user_of(found["access_token"]) == "scientist"
    assert flow.poll(given["device_code"])[1]["error"] == "invalid_grant"


def test_the_page_says_how_to_approve_and_does_not_do_it(flow: Flow) -> None:
    _, given = flow.post("/auth/device")
    code = given["user_code"]
    page = flow.issuer.handle(Request("GET", f"{PATH}/device", {"user_code": code}))
    assert f"imagefactory sandbox approve {code}".encode() in b"".join(page.body)
    form = f"user_code={code}&decision=approve".encode()
    assert flow.issuer.handle(Request("POST", f"{PATH}/device", body=form)).status == 404
    assert not flow.issuer.approve("AAAA-BBBB")
    assert flow.issuer.approve(code, "colleague")
    _, found = flow.poll(given["device_code"])
    assert flow.issuer.user_of(found["access_token"]) == "colleague"


def test_the_page_shows_no_code_as_html(flow: Flow) -> None:
    query = {"user_code": "<script>"}
    page = flow.issuer.handle(Request("GET", f"{PATH}/device", query))
    assert b"<script>" not in b"".join(page.body)


def test_asking_too_often_is_told(flow: Flow) -> None:
    _, given = flow.post("/auth/device")
    flow.poll(given["device_code"])
    assert flow.poll(given["device_code"])[1]["error"] == "slow_down"
    flow.now += given["interval"]
    assert flow.poll(given["device_code"])[1]["error"] == "authorization_pending"


def test_a_person_may_say_no(flow: Flow) -> None:
    _, given = flow.post("/auth/device")
    assert flow.issuer.deny(given["user_code"])
    assert flow.poll(given["device_code"])[1]["error"] == "access_denied"


def test_a_code_expires(flow: Flow) -> None:
    _, given = flow.post("/auth/device")
    flow.now += given["expires_in"]
    assert flow.poll(given["device_code"])[1]["error"] == "expired_token"


def test_a_refresh_token_is_good_once(flow: Flow) -> None:
    _, given = flow.post("/auth/device")
    flow.issuer.approve(given["user_code"])
    _, first = flow.poll(given["device_code"])
    status, second = flow.refresh(first["refresh_token"])
    assert status == 200
    assert flow.issuer.user_of(second["access_token"]) == "scientist"
    assert flow.refresh(first["refresh_token"])[1]["error"] == "invalid_grant"
    flow.now += second["refresh_expires_in"]
    assert flow.refresh(second["refresh_token"])[1]["error"] == "invalid_grant"


def test_a_token_expires(flow: Flow) -> None:
    token = flow.issuer.token("scientist", lifetime=60)
    assert flow.issuer.user_of(token) == "scientist"
    flow.now += 60
    assert flow.issuer.user_of(token) is None


@pytest.mark.parametrize("kind", ["other issuer", "other key", "changed", "unsigned", "no token"])
def test_tokens_that_are_refused(flow: Flow, kind: str) -> None:
    good = flow.issuer.token("scientist")
    claims = jwt.decode(good, options={"verify_signature": False})
    head, payload, signature = good.split(".")
    changed = jwt.encode({**claims, "preferred_username": "colleague"}, "", algorithm="none")
    token = {
        "other issuer": flow.issuer.token("scientist", issuer="https://elsewhere.test"),
        "other key": Issuer(BASE, clock=lambda: flow.now).token("scientist"),
        "changed": ".".join([head, changed.split(".")[1], signature]),
        "unsigned": jwt.encode(claims, "", algorithm="none"),
        "no token": payload,
    }[kind]
    assert flow.issuer.user_of(good) == "scientist"
    assert flow.issuer.user_of(token) is None


def test_other_grants_are_refused(flow: Flow) -> None:
    assert flow.post("/token", grant_type="password")[1]["error"] == "unsupported_grant_type"
    assert flow.issuer.handle(Request("GET", f"{PATH}/nothing")).status == 404


def test_userinfo_names_the_user(flow: Flow) -> None:
    headers = {"authorization": f"Bearer {flow.issuer.token('colleague')}"}
    request = Request("GET", f"{PATH}{OPENID}/userinfo", headers=headers)
    assert body(flow.issuer.handle(request))["preferred_username"] == "colleague"
    assert flow.issuer.handle(Request("GET", f"{PATH}{OPENID}/userinfo")).status == 401


def test_the_server_issues_tokens_of_its_own(flow: Flow) -> None:
    own = OwnTokens(lambda: flow.now)
    token = own.issue("scientist", 60, renewable=True)
    assert own.read(token) == ("scientist", True)
    assert own.read(own.issue("scientist", 60, renewable=False)) == ("scientist", False)
    assert own.read(flow.issuer.token("scientist")) is None
    assert flow.issuer.user_of(token) is None
    assert OwnTokens(lambda: flow.now).read(token) is None
    flow.now += 60
    assert own.read(token) is None


def test_an_own_token_outlives_the_issuer_s(tmp_path: Path) -> None:
    with start_unicore(tmp_path, {"bookworm": FakeLogin(tmp_path)}, listen=False) as unicore:
        start = unicore.issuer.clock()
        first = unicore.token(lifetime=60)
        base = unicore.site_url("bookworm")

        def ask(token: str, path: str) -> httpx.Response:
            with httpx.Client(transport=unicore.transport()) as client:
                return client.get(f"{base}{path}", headers={"Authorization": f"Bearer {token}"})

        own = ask(first, "/token?lifetime=86400").text
        unicore.issuer.clock = lambda: start + 3600
        assert ask(first, "").status_code == 403
        assert ask(own, "").json()["client"]["authenticationMethod"] == "ETD"
        assert ask(own, "/token").status_code == 403  # it is not renewable
        assert ask(unicore.token(), "/token?lifetime=99999999").status_code == 400
