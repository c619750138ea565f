"""Tokens: the order of their sources, their end, the device flow, and that none is ever told."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from imagefactory.base import tokens
from imagefactory.base.errors import FactoryError, ServiceAway, TrustRefused, UsageFault
from imagefactory.base.process import Done, Runner
from imagefactory.base.report import Silent
from imagefactory.base.tokens import (
    COMMAND_VARIABLE,
    FILE_VARIABLE,
    VARIABLE,
    Issuer,
    Surroundings,
    expiry_of,
    find_source,
)
from imagefactory.sandbox.unicore import FakeLogin, Unicore, start_unicore

NOW = 1_800_000_000.0
HUB = {"JUPYTERHUB_API_URL": "https://hub.test/hub/api", "JUPYTERHUB_API_TOKEN": "hub-key"}


def jwt_text(expires: float | None, word: str = "hush") -> str:
    claims = {"sub": word} | ({} if expires is None else {"exp": expires})
    parts = [json.dumps({"alg": "none"}), json.dumps(claims), "signature"]
    return ".".join(base64.urlsafe_b64encode(p.encode()).decode().rstrip("=") for p in parts)


def no_module(name: str) -> Any:
    raise ModuleNotFoundError(name)


def around(environment: dict[str, str] | None = None, **changes: Any) -> Surroundings:
    given: dict[str, Any] = {"sleep": lambda _: None, "clock": lambda: NOW, "load": no_module}
    return Surroundings(environment or {}, **(given | changes))


def get(environment: dict[str, str] | None = None, **changes: Any) -> tuple[str, str]:
    token = find_source(None, Silent(), around(environment, **changes)).get()
    return token.secret.reveal(), token.source


def answering(status: int, body: object) -> httpx.MockTransport:
    return httpx.MockTransport(lambda _: httpx.Response(status, json=body))


@pytest.fixture
def private(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text("from-file\n")
    path.chmod(0o600)
    return path


def test_the_sources_in_their_order(private: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[tuple[str, ...]] = []

    def run(_self: Runner, *argv: str, **_: object) -> Done:
        started.append(argv)
        return Done(argv, 0, "from-command\n", "", 0.1)

    monkeypatch.setattr(Runner, "run", run)
    lab = SimpleNamespace(oauth=SimpleNamespace(get_token=lambda: "from-lab"))
    hub = answering(200, {"auth_state": {"access_token": "from-hub"}})
    everything = {
        FILE_VARIABLE: str(private), VARIABLE: "from-variable",
        COMMAND_VARIABLE: "oidc-token 'my account'", **HUB,
    }  # fmt: skip
    for wanted, without in (
        ("from-file", FILE_VARIABLE), ("from-variable", VARIABLE),
        ("from-command", COMMAND_VARIABLE),
    ):  # fmt: skip
        assert get(everything, load=lambda _: lab, transport=hub)[0] == wanted
        del everything[without]
    assert started == [("oidc-token", "my account")]
    assert get(everything, load=lambda _: lab, transport=hub)[0] == "from-lab"
    assert get(everything, transport=hub) == ("from-hub", f"{HUB['JUPYTERHUB_API_URL']}/user_oauth")


def test_without_any_source_the_error_says_how() -> None:
    with pytest.raises(UsageFault) as caught:
        get()
    assert VARIABLE in str(caught.value)


def test_a_file_that_others_can_read(private: Path) -> None:
    private.chmod(0o644)
    with pytest.raises(TrustRefused, match="other users can read"):
        get({FILE_VARIABLE: str(private)})


@pytest.mark.parametrize("text", ["", "two words", "tök", "line\nbreak", "a\x1bb"])
def test_what_is_no_token(text: str) -> None:
    with pytest.raises((TrustRefused, UsageFault)) as caught:
        get({VARIABLE: text})
    assert not text or text not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expires"),
    [
        (jwt_text(NOW), NOW),
        (jwt_text(None), None),
        ("opaque", None),
        ("a.b.c", None),
        ("a.!!!.c", None),
        (jwt_text("soon"), None),  # type: ignore[arg-type]
    ],
)
def test_the_end_is_read_where_it_stands(text: str, expires: float | None) -> None:
    assert expiry_of(text) == expires


def test_an_ended_token_is_refused_before_the_start() -> None:
    with pytest.raises(TrustRefused, match="has ended 2 min 5 s ago") as caught:
        get({VARIABLE: jwt_text(NOW - 125)})
    assert "hush" not in str(caught.value)


def test_a_token_is_read_again_before_it_ends(private: Path) -> None:
    now = [NOW]
    private.write_text(jwt_text(NOW + 100, "first"))
    source = find_source(
        None, Silent(), around({FILE_VARIABLE: str(private)}, clock=lambda: now[0])
    )
    first = source.get()
    private.write_text(jwt_text(NOW + 9000, "second"))
    assert source.get() is first, "a token that holds is not asked for again"
    now[0] += 60
    assert source.get().expires == NOW + 9000


def test_a_command_that_fails_is_not_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    told = Done(("helper",), 1, "hush", "hush", 0.1)
    monkeypatch.setattr(Runner, "run", lambda *_, **__: told)
    with pytest.raises(TrustRefused, match="exit status 1") as caught:
        get({COMMAND_VARIABLE: "helper"})
    assert "hush" not in str(caught.value)


def test_a_lab_that_fails() -> None:
    def fail() -> str:
        raise ConnectionError("hush")

    lab = SimpleNamespace(oauth=SimpleNamespace(get_token=fail))
    with pytest.raises(ServiceAway, match="ConnectionError") as caught:
        get(load=lambda _: lab)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [(403, {}, TrustRefused), (503, {}, ServiceAway), (200, {"auth_state": None}, TrustRefused),
     (200, [], ServiceAway)],
)  # fmt: skip
def test_a_hub_that_gives_none(status: int, body: object, kind: type[FactoryError]) -> None:
    with pytest.raises(kind):
        get(HUB, transport=answering(status, body))


# --- the device flow, against the double's issuer -------------------------------------------------


@pytest.fixture
def unicore(tmp_path: Path) -> Iterator[Unicore]:
    with start_unicore(tmp_path, {"bookworm": FakeLogin(tmp_path)}, listen=False) as found:
        yield found


class Person(Silent):
    """Reads what is asked, and answers it at the second poll."""

    def __init__(self, unicore: Unicore, answer: str) -> None:
        super().__init__()
        self.unicore, self.answer, self.asked, self.now = unicore, answer, "", NOW

    def note(self, text: str) -> None:
        self.asked = text

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        if self.now < NOW + 3:
            return
        code = self.asked.rpartition(" ")[2]
        if self.answer == "yes":
            self.unicore.approve(code)
        elif self.answer == "no":
            self.unicore.deny(code)


def device_source(unicore: Unicore, person: Person, client: str = "") -> tokens.TokenSource:
    unicore.issuer.clock = lambda: person.now
    issuer = Issuer(unicore.issuer_url, client or unicore.client_id)
    return find_source(
        issuer, person,
        around(transport=unicore.transport(), sleep=person.sleep, clock=lambda: person.now),
    )  # fmt: skip


def test_a_person_approves_once_and_then_it_is_refreshed(unicore: Unicore) -> None:
    person = Person(unicore, "yes")
    source = device_source(unicore, person)
    first = source.get()
    assert unicore.issuer.user_of(first.secret.reveal()) == "scientist"
    assert person.asked.startswith(f"log in: open {unicore.issuer_url}/device?user_code=")
    person.asked = ""
    person.now += 3590
    second = source.get()
    assert (second.expires or 0) > (first.expires or 0)
    assert not person.asked, "nobody is asked a second time"


def test_a_refresh_that_is_refused_asks_again(unicore: Unicore) -> None:
    person = Person(unicore, "yes")
    source = device_source(unicore, person)
    source.get()
    person.asked = ""
    person.now += 9 * 3600
    source.get()
    assert person.asked


@pytest.mark.parametrize(
    ("answer", "said"), [("no", "access_denied"), ("nothing", "expired_token|in time")]
)
def test_a_login_that_is_not_approved(unicore: Unicore, answer: str, said: str) -> None:
    with pytest.raises(TrustRefused, match=said):
        device_source(unicore, Person(unicore, answer)).get()


def test_an_unknown_client(unicore: Unicore) -> None:
    with pytest.raises(TrustRefused, match="invalid_client"):
        device_source(unicore, Person(unicore, "yes"), "stranger").get()


def test_an_issuer_without_tls_is_not_used() -> None:
    ends = {"token_endpoint": "http://a.test/t", "device_authorization_endpoint": "http://a.test"}
    source = find_source(
        Issuer("https://a.test", "c"), Silent(), around(transport=answering(200, ends))
    )
    with pytest.raises(TrustRefused, match="https"):
        source.get()
