"""Digests, references and secrets."""

from __future__ import annotations

import pytest

from imagefactory.base.errors import UsageFault
from imagefactory.base.values import Digest, ImageRef, Secret

HEX = "0123456789abcdef" * 4


def test_a_reference_is_read_and_written_back() -> None:
    text = "oras://docker-registry.example.org:5000/hpc-containers/nest:3.10"
    ref = ImageRef.parse(text)
    assert (ref.host, ref.port, ref.repository, ref.tag) == (
        "docker-registry.example.org",
        5000,
        "hpc-containers/nest",
        "3.10",
    )
    assert str(ref) == text
    assert ref.registry == "docker-registry.example.org:5000"
    assert not ref.is_loopback


def test_a_reference_pinned_by_digest() -> None:
    ref = ImageRef.parse("oras://localhost/a/b:1").at(Digest(f"sha256:{HEX}"))
    assert str(ref) == f"oras://localhost/a/b@sha256:{HEX}"
    assert ImageRef.parse(str(ref)) == ref


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("docker://host/a:1", "does not begin with oras://"),
        ("oras://host/a", "has no tag"),
        ("oras://host/a:", "has no tag"),
        ("oras://host/Nest:1", "write 'nest'"),
        ("oras://host/:1", "names no image"),
        ("oras://host/a b:1", "is no image name"),
        ("oras://ho st/a:1", "is no host name"),
        ("oras://host:99999/a:1", "is no port"),
        ("oras://host/a:-x", "is no tag"),
        ("oras://host/a@sha256:12", "is no digest"),
    ],
)
def test_a_bad_reference_is_told(text: str, part: str) -> None:
    with pytest.raises(UsageFault) as caught:
        ImageRef.parse(text)
    assert part in str(caught.value)


def test_all_faults_of_a_reference_come_at_once() -> None:
    with pytest.raises(UsageFault) as caught:
        ImageRef.parse("oras://ho st:0/A")
    assert len(caught.value.faults) == 4


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.1.2.3", True), ("localhost", True), ("[::1]", True),
     ("127.0.0.1.evil.org", False), ("registry.org", False)],
)  # fmt: skip
def test_only_this_machine_is_loopback(host: str, loopback: bool) -> None:
    assert ImageRef.parse(f"oras://{host}/a:1").is_loopback is loopback


@pytest.mark.parametrize("text", ["", "sha256:12", f"md5:{HEX}", f"sha256:{HEX.upper()}"])
def test_what_is_no_digest(text: str) -> None:
    with pytest.raises(UsageFault):
        Digest(text)


def test_a_secret_does_not_print() -> None:
    secret = Secret("swordfish")
    assert "swordfish" not in f"{secret} {secret!r} {[secret]}"
    assert secret.reveal() == "swordfish"
