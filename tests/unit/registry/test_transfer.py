"""Push and pull against a registry that keeps state and fails in every documented way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import requests
from requests.models import PreparedRequest, Response

from imagefactory.base.errors import FactoryError, ServiceAway, ToolFailed, TrustRefused, UsageFault
from imagefactory.base.report import Silent
from imagefactory.base.values import ImageRef
from imagefactory.registry import plan_pull, plan_push, pull, push, resolve
from imagefactory.registry.manifest import MANIFEST_TYPE
from tests.unit.registry.fake_registry import CutStream, FakeRegistry, digest, reply

REF = ImageRef.parse("oras://registry.test/a/nest:1")
SIF_BYTES = b"#!/usr/bin/env run-singularity\n\0SIF_MAGIC\0" + b"image" * 1000


@pytest.fixture
def fake() -> FakeRegistry:
    return FakeRegistry()


@pytest.fixture
def sif(tmp_path: Path) -> Path:
    path = tmp_path / "local-name.sif"
    path.write_bytes(SIF_BYTES)
    return path


@pytest.fixture
def report() -> Silent:
    return Silent()


def test_what_was_pushed_is_pulled(
    fake: FakeRegistry, sif: Path, tmp_path: Path, report: Silent
) -> None:
    pushed = push(sif, REF, report, fake.connect(REF))
    target = tmp_path / "pulled.sif"
    pulled = pull(REF, target, report, fake.connect(REF))
    assert target.read_bytes() == SIF_BYTES
    assert pulled == pushed
    assert str(pulled.layer) == digest(SIF_BYTES)
    assert pulled.reference == REF.at(pulled.manifest)


def test_the_manifest_is_what_apptainer_writes(
    fake: FakeRegistry, sif: Path, report: Silent, golden: Any
) -> None:
    """Byte for byte: tests/integration/test_registry.py compares it with a real apptainer push."""
    plan = plan_push(sif, REF, report, fake.connect(REF))
    golden.check("registry/manifest.json", plan.manifest.decode())


def test_the_local_file_name_does_not_count(
    fake: FakeRegistry, sif: Path, tmp_path: Path, report: Silent
) -> None:
    other = tmp_path / "other.sif"
    other.write_bytes(SIF_BYTES)
    registry = fake.connect(REF)
    assert (
        plan_push(sif, REF, report, registry).artifact
        == plan_push(other, REF, report, registry).artifact
    )


def test_a_second_push_sends_no_blob(fake: FakeRegistry, sif: Path, report: Silent) -> None:
    first = push(sif, REF, report, fake.connect(REF))
    fake.log.clear()
    assert push(sif, REF, report, fake.connect(REF)) == first
    assert not [line for line in fake.log if line.startswith(("PUT", "POST"))]


def test_a_tag_that_moves_is_told(
    fake: FakeRegistry, sif: Path, tmp_path: Path, report: Silent
) -> None:
    first = push(sif, REF, report, fake.connect(REF))
    sif.write_bytes(SIF_BYTES + b"more")
    lines = plan_push(sif, REF, report, fake.connect(REF)).lines()
    assert f"set the tag {REF} (moved from {first.manifest})" in lines


def test_the_tag_is_set_last(fake: FakeRegistry, sif: Path, report: Silent) -> None:
    push(sif, REF, report, fake.connect(REF))
    writes = [line for line in fake.log if line.startswith("PUT")]
    assert writes[-1] == "PUT a/nest/manifests/1"


def test_a_pull_of_what_is_there_does_nothing(
    fake: FakeRegistry, sif: Path, tmp_path: Path, report: Silent
) -> None:
    push(sif, REF, report, fake.connect(REF))
    fake.log.clear()
    assert plan_pull(REF, sif, report, fake.connect(REF)).complete
    pull(REF, sif, report, fake.connect(REF))
    assert not [line for line in fake.log if "blobs" in line]


@pytest.mark.parametrize(
    ("status", "kind", "tries"),
    [(401, TrustRefused, 1), (403, TrustRefused, 1), (500, ServiceAway, 4), (503, ServiceAway, 4),
     (429, ServiceAway, 4), (418, ToolFailed, 1)],
)  # fmt: skip
def test_every_status_has_its_error(
    fake: FakeRegistry, report: Silent, status: int, kind: type[FactoryError], tries: int
) -> None:
    fake.fail(status)
    with pytest.raises(kind) as caught:
        resolve(REF, report, fake.connect(REF))
    assert type(caught.value) is kind
    assert len(fake.log) == tries


def test_a_busy_registry_is_waited_for(fake: FakeRegistry, sif: Path, report: Silent) -> None:
    push(sif, REF, report, fake.connect(REF))
    fake.fail(429, times=1, Retry_After="7")
    assert str(resolve(REF, report, fake.connect(REF)).layer) == digest(SIF_BYTES)
    assert 7.0 in fake.slept


def test_a_tag_that_is_not_there(fake: FakeRegistry, sif: Path, report: Silent) -> None:
    push(sif, REF, report, fake.connect(REF))
    other = ImageRef.parse("oras://registry.test/a/nest:10")
    with pytest.raises(ToolFailed, match="did you mean '1'"):
        resolve(other, report, fake.connect(other))


def test_a_registry_that_is_down(fake: FakeRegistry, report: Silent) -> None:
    def refuse(_: PreparedRequest) -> Response | None:
        message = "refused"
        raise requests.exceptions.ConnectionError(message)

    fake.faults = [refuse] * 9
    with pytest.raises(ServiceAway, match="cannot reach the registry"):
        resolve(REF, report, fake.connect(REF))


def test_a_certificate_that_is_not_trusted_is_tried_once(
    fake: FakeRegistry, report: Silent
) -> None:
    def refuse(_: PreparedRequest) -> Response | None:
        message = "self-signed certificate"
        raise requests.exceptions.SSLError(message)

    fake.faults = [refuse] * 9
    with pytest.raises(TrustRefused, match="certificate is not trusted"):
        resolve(REF, report, fake.connect(REF))
    assert len(fake.log) == 1


def spoil_blob(fake: FakeRegistry, change: bytes | None) -> None:
    name = digest(SIF_BYTES)
    fake.blobs[name] = fake.blobs[name][:-10] + (change or b"")


@pytest.mark.parametrize(
    ("change", "kind"),
    [(None, ServiceAway), (b"0123456789", TrustRefused), (b"0123456789more", TrustRefused)],
    ids=["truncated", "altered", "too long"],
)
def test_a_bad_blob_leaves_no_file_and_the_old_one_intact(
    fake: FakeRegistry, sif: Path, tmp_path: Path, report: Silent,
    change: bytes | None, kind: type[FactoryError],
) -> None:  # fmt: skip
    push(sif, REF, report, fake.connect(REF))
    spoil_blob(fake, change)
    fresh, old = tmp_path / "fresh.sif", tmp_path / "old.sif"
    old.write_bytes(b"old")
    for target in (fresh, old):
        with pytest.raises(kind):
            pull(REF, target, report, fake.connect(REF), sleep=lambda _: None)
    assert not fresh.exists()
    assert old.read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["local-name.sif", "old.sif"]


def test_a_connection_that_is_cut_is_tried_again(
    fake: FakeRegistry, sif: Path, tmp_path: Path, report: Silent
) -> None:
    push(sif, REF, report, fake.connect(REF))

    def cut(request: PreparedRequest) -> Response | None:
        if "/blobs/" not in str(request.url):
            return None
        return reply(request, 200, raw=CutStream(SIF_BYTES[:100]))

    fake.faults = [cut, cut]
    pull(REF, tmp_path / "got.sif", report, fake.connect(REF), sleep=lambda _: None)
    assert (tmp_path / "got.sif").read_bytes() == SIF_BYTES


MANIFESTS: dict[str, tuple[bytes, str]] = {
    "html": (b"<html>log in</html>", "no manifest"),
    "index": (json.dumps({"manifests": []}).encode(), "index of several images"),
    "two layers": (json.dumps({"layers": [{}, {}]}).encode(), "this has 2"),
    "docker": (
        json.dumps({"layers": [{"mediaType": "tar", "size": -1, "digest": "x"}]}).encode(),
        "not a SIF",
    ),
}


@pytest.mark.parametrize(("body", "part"), MANIFESTS.values(), ids=MANIFESTS.keys())
def test_a_manifest_of_something_else(
    fake: FakeRegistry, report: Silent, body: bytes, part: str
) -> None:
    fake.manifests[digest(body)] = body
    fake.tags["1"] = digest(body)
    with pytest.raises(TrustRefused, match=part):
        resolve(REF, report, fake.connect(REF))


def test_all_faults_of_a_manifest_at_once(fake: FakeRegistry, report: Silent) -> None:
    body = MANIFESTS["docker"][0]
    fake.manifests[digest(body)], fake.tags["1"] = body, digest(body)
    with pytest.raises(TrustRefused) as caught:
        resolve(REF, report, fake.connect(REF))
    assert len(caught.value.faults) == 3


def test_a_registry_that_sends_another_manifest(
    fake: FakeRegistry, sif: Path, report: Silent
) -> None:
    artifact = push(sif, REF, report, fake.connect(REF))
    fake.manifests[str(artifact.manifest)] += b" "
    with pytest.raises(TrustRefused, match="another manifest"):
        resolve(artifact.reference, report, fake.connect(REF))


def test_a_wrong_digest_header(fake: FakeRegistry, sif: Path, report: Silent) -> None:
    push(sif, REF, report, fake.connect(REF))
    content = fake.manifests[fake.tags["1"]]
    fake.faults = [
        lambda request: reply(
            request, 200, content, Docker_Content_Digest=digest(b"x"), Content_Type=MANIFEST_TYPE
        )
    ]
    with pytest.raises(TrustRefused, match="its bytes are"):
        resolve(REF, report, fake.connect(REF))


def test_a_redirect_to_an_address_without_tls(fake: FakeRegistry, report: Silent) -> None:
    fake.faults = [
        lambda request: reply(request, 307, Location="http://registry.test/v2/a/nest/manifests/1")
    ]
    with pytest.raises(TrustRefused, match="without TLS"):
        resolve(REF, report, fake.connect(REF))


def test_what_is_no_sif_is_not_pushed(fake: FakeRegistry, tmp_path: Path, report: Silent) -> None:
    path = tmp_path / "text"
    path.write_text("hello")
    with pytest.raises(FactoryError, match="no SIF"):
        push(path, REF, report, fake.connect(REF))
    assert not fake.log


def test_a_push_needs_a_tag(fake: FakeRegistry, sif: Path, report: Silent) -> None:
    artifact = push(sif, REF, report, fake.connect(REF))
    with pytest.raises(UsageFault, match="needs a tag"):
        plan_push(sif, artifact.reference, report, fake.connect(REF))


def test_no_room_for_the_image(
    fake: FakeRegistry, sif: Path, tmp_path: Path, report: Silent, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(sif, REF, report, fake.connect(REF))
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 10})())
    with pytest.raises(ToolFailed, match="disk is too full"):
        pull(REF, tmp_path / "new.sif", report, fake.connect(REF))
    assert not (tmp_path / "new.sif").exists()


def test_a_password_is_in_no_error(
    fake: FakeRegistry, report: Silent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logins = tmp_path / ".apptainer" / "docker-config.json"
    logins.parent.mkdir()
    logins.write_text(json.dumps({"auths": {"registry.test": {"auth": "c3dvcmRmaXNo"}}}))
    monkeypatch.setenv("HOME", str(tmp_path))
    fake.fail(401, Www_Authenticate='Basic realm="r"')
    with pytest.raises(TrustRefused) as caught:
        resolve(REF, report, fake.connect(REF))
    assert "c3dvcmRmaXNo" not in str(caught.value)
    assert len(fake.log) == 2  # once without, once with the password
