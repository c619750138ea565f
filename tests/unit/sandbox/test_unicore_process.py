"""The double as a process: how it is started, found, told to fail, and its certificates."""

from __future__ import annotations

import json
import os
import ssl
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store

from imagefactory.base.errors import ServiceAway, ToolFailed, TrustRefused, UsageFault
from imagefactory.base.report import Silent
from imagefactory.base.values import Secret
from imagefactory.cli import main
from imagefactory.sandbox.settings import SandboxSettings, sandbox_settings
from imagefactory.sandbox.unicore import (
    FakeLogin,
    FaultKind,
    PlannedFault,
    background,
    start_unicore,
)
from imagefactory.sandbox.unicore.background import UnicoreAddress
from imagefactory.sandbox.unicore.certificates import make_certificates

if TYPE_CHECKING:
    from tests.conftest import Golden

SETTINGS = SandboxSettings("imagefactory", 5000, Path("/data/sandbox"))


def test_the_command(golden: Golden) -> None:
    argv = background.daemon_argv(SETTINGS, {"bookworm": 2201, "trixie": 2202})
    golden.check("unicore/start.txt", "\n".join(argv).replace(sys.executable, "PYTHON") + "\n")


def test_a_certificate_that_a_strict_client_takes(tmp_path: Path) -> None:
    found = make_certificates(tmp_path)
    assert found.key.stat().st_mode & 0o777 == 0o600
    authority = x509.load_pem_x509_certificate(found.authority.read_bytes())
    server = x509.load_pem_x509_certificate(found.server.read_bytes())
    store = Store([authority])
    for name in (x509.DNSName("localhost"), x509.IPAddress(_loopback())):
        verifier = PolicyBuilder().store(store).build_server_verifier(name)
        assert verifier.verify(server, [])[-1] == authority
    context = ssl.create_default_context(cafile=str(found.authority))
    assert len(context.get_ca_certs()) == 1


def _loopback() -> Any:
    import ipaddress

    return ipaddress.ip_address("127.0.0.1")


def test_two_doubles_do_not_trust_each_other(tmp_path: Path) -> None:
    first, second = (make_certificates(tmp_path / name) for name in ("a", "b"))
    store = Store([x509.load_pem_x509_certificate(first.authority.read_bytes())])
    server = x509.load_pem_x509_certificate(second.server.read_bytes())
    verifier = PolicyBuilder().store(store).build_server_verifier(x509.DNSName("localhost"))
    with pytest.raises(x509.verification.VerificationError):
        verifier.verify(server, [])


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[UnicoreAddress]:
    """A double without a socket that looks like the one of the sandbox."""
    login = FakeLogin(tmp_path / "site")
    with start_unicore(tmp_path, {"bookworm": login}, listen=False) as unicore:
        monkeypatch.setattr("httpx.HTTPTransport", lambda **_: unicore.transport())
        found = UnicoreAddress(
            os.getpid(), unicore.service.base, unicore.registry_url,
            {"bookworm": unicore.site_url("bookworm")}, unicore.ca_file, unicore.issuer_url,
            unicore.client_id, unicore.service.control,
        )  # fmt: skip
        monkeypatch.setattr(background, "own_process", lambda _settings: os.getpid())
        background.write_address(sandbox_settings(), found)
        yield found


def test_it_is_found_again_by_a_private_file(address: UnicoreAddress) -> None:
    settings = sandbox_settings()
    assert background.load_unicore() == address
    assert background.state_file(settings).stat().st_mode & 0o777 == 0o600


def test_a_process_that_is_gone_is_no_double(
    address: UnicoreAddress, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background, "own_process", lambda _settings: None)
    assert background.load_unicore() is None
    with pytest.raises(UsageFault, match="does not run"):
        background.require_unicore()


def test_only_our_process_is_stopped(tmp_path: Path) -> None:
    settings = sandbox_settings()
    folder = background.unicore_folder(settings)
    folder.mkdir(parents=True)
    for text in (str(os.getpid()), "99999999", "what?"):
        (folder / "pid").write_text(text)
        assert background.own_process(settings) is None
    assert not background.stop_background(settings, Silent())


def test_faults_of_the_running_double(address: UnicoreAddress) -> None:
    assert background.unicore_answers(address)
    assert background.count_requests(address) == {"GET registry": 1}
    fault = PlannedFault(FaultKind.UNAVAILABLE, on="GET .*/registries/", times=None)
    assert background.plan_faults(address, [fault], seed=4)["seed"] == 4
    assert not background.unicore_answers(address)
    assert background.show_faults(address)["fired"] == {"unavailable": 1}
    background.plan_faults(address, [])
    assert background.unicore_answers(address)


def test_the_control_endpoint_is_closed_to_others(address: UnicoreAddress) -> None:
    stranger = replace(address, control=Secret("wrong"))
    with pytest.raises(TrustRefused):
        background.show_faults(stranger)
    with pytest.raises(TrustRefused):
        background.issue_token(stranger)


def test_a_device_code_is_approved_with_the_secret(
    address: UnicoreAddress, capsys: pytest.CaptureFixture[str]
) -> None:
    import httpx

    with httpx.Client(transport=httpx.HTTPTransport()) as client:
        openid = f"{address.issuer}/protocol/openid-connect"
        given = client.post(f"{openid}/auth/device", data={"client_id": address.client_id}).json()
        assert call("sandbox", "approve", "AAAA-BBBB") == 2
        assert "there is no device code" in capsys.readouterr().err
        assert call("sandbox", "approve", given["user_code"]) == 0
        form = {
            "client_id": address.client_id,
            "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
            "device_code": given["device_code"],
        }
        assert client.post(f"{openid}/token", data=form).status_code == 200


def call(*arguments: str) -> int:
    try:
        main(arguments)
    except SystemExit as ending:
        return int(ending.code or 0)
    return 0


def test_token_and_fault_as_verbs(
    address: UnicoreAddress, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("sandbox", "token", "--lifetime", "600") == 0
    token = capsys.readouterr().out.strip()
    assert token.count(".") == 2
    assert call("sandbox", "fault", "refused", "--on", "GET .*/core", "--times", "0") == 0
    assert "planned: refused on GET .*/core" in capsys.readouterr().out
    assert call("sandbox", "fault", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["faults"][0]["times"] is None
    assert call("sandbox", "fault", "refsued") == 2
    assert "did you mean 'refused'?" in capsys.readouterr().err
    assert call("sandbox", "fault", "--clear") == 0
    assert capsys.readouterr().out == "no faults\n"


def test_a_double_that_does_not_start_shows_its_log(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = sandbox_settings()
    folder = background.unicore_folder(settings)

    class Started:
        def __init__(self, _report: object) -> None:
            pass

        def run(self, *_argv: str, timeout: float) -> None:
            (folder / "pid").write_text("1")
            (folder / "log").write_text("the site cannot be reached\n")

    monkeypatch.setattr(background, "Runner", Started)
    with pytest.raises(ToolFailed, match="did not start") as caught:
        background.start_background(settings, {"bookworm": 1}, Silent())
    assert caught.value.detail == "the site cannot be reached"


def test_a_server_that_is_away(address: UnicoreAddress, monkeypatch: pytest.MonkeyPatch) -> None:
    import httpx

    def refuse(_request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    monkeypatch.setattr("httpx.HTTPTransport", lambda **_: httpx.MockTransport(refuse))
    with pytest.raises(ServiceAway):
        background.show_faults(address)
    assert not background.unicore_answers(address)
