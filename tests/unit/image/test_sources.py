"""Sources of packages: from the cache, a mirror, PyPI or their address, and never unchecked."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx
import pytest

from imagefactory.base.errors import ToolFailed, TrustRefused
from imagefactory.base.http import open_client
from imagefactory.base.report import Silent
from imagefactory.base.values import Digest
from imagefactory.image import sources as module
from imagefactory.image.sources import fetch_sources, requirement_of
from imagefactory.recipe import Requirement
from imagefactory.release import SourceFile

CONTENT = b"a source"
DIGEST = Digest(f"sha256:{hashlib.sha256(CONTENT).hexdigest()}")
PLACE = f"_source-cache/archive/{DIGEST.hex[:2]}/{DIGEST.hex}.tar.gz"
UPSTREAM = "https://example.org/thing/v1.0.tar.gz"


def source(*urls: str) -> SourceFile:
    return SourceFile("thing@1.0", DIGEST, PLACE, urls)


def fetched(*urls: str) -> Path:
    return fetch_sources([source(*urls)], "3.11", Silent())[PLACE]


class Upstream:
    """Servers: every address gives `content`, or is away."""

    def __init__(self) -> None:
        self.content: bytes | None = CONTENT
        self.asked: list[str] = []

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(str(request.url))
        if self.content is None:
            return httpx.Response(404)
        return httpx.Response(200, content=self.content)


@pytest.fixture
def upstream(machine: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Upstream:
    assert machine
    found = Upstream()
    monkeypatch.setattr(
        module, "open_client", lambda: open_client(httpx.MockTransport(found.answer))
    )
    monkeypatch.delenv(module.MIRROR, raising=False)
    return found


@pytest.fixture
def pypi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Requirement]:
    """What pip was asked for."""
    asked: list[Requirement] = []
    file = tmp_path / "from-pip.tar.gz"
    file.write_bytes(CONTENT)

    def fetch(wanted: Sequence[Requirement], python: str, _: object) -> dict[str, Path]:
        assert python == "3.11"
        asked.extend(wanted)
        return {DIGEST.hex: file}

    monkeypatch.setattr(module, "fetch", fetch)
    return asked


@pytest.mark.parametrize(
    ("path", "requirement", "is_sdist"),
    [
        ("source/c/cython/cython-3.1.3.tar.gz", "cython==3.1.3", True),
        ("source/n/nest-simulator/nest_simulator-3.10.0.tar.gz", "nest-simulator==3.10.0", True),
        ("source/P/PyNN/PyNN-0.10.0.zip", "PyNN==0.10.0", True),
        ("py3/p/pip/pip-25.1.1-py3-none-any.whl", "pip==25.1.1", False),
        ("py2.py3/s/six/six-1.16.0-py2.py3-none-any.whl", "six==1.16.0", False),
    ],
)
def test_an_address_on_pypi_is_a_requirement(path: str, requirement: str, is_sdist: bool) -> None:
    found = requirement_of(source(f"https://example.org/packages/{path}"))
    assert found == Requirement(requirement, DIGEST, is_sdist=is_sdist)


@pytest.mark.parametrize("url", [UPSTREAM, "https://example.org/packages/thing-1.0.tar.gz", ""])
def test_another_address_is_none(url: str) -> None:
    assert requirement_of(source(url)) is None


def test_what_is_on_pypi_is_pips_to_fetch(upstream: Upstream, pypi: list[Requirement]) -> None:
    path = fetched("https://example.org/packages/source/t/thing/thing-1.0.tar.gz")
    assert path.read_bytes() == CONTENT
    assert [item.requirement for item in pypi] == ["thing==1.0"]
    assert upstream.asked == []


def test_another_source_is_fetched_once_from_its_address(upstream: Upstream) -> None:
    assert fetched(UPSTREAM).read_bytes() == CONTENT
    assert fetched(UPSTREAM).name == f"{DIGEST.hex}.tar.gz"
    assert upstream.asked == [UPSTREAM]


def test_a_mirror_in_a_folder_is_asked_first(
    upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "mirror" / PLACE
    file.parent.mkdir(parents=True)
    file.write_bytes(CONTENT)
    monkeypatch.setenv(module.MIRROR, str(tmp_path / "mirror"))
    assert fetched(UPSTREAM).read_bytes() == CONTENT
    assert upstream.asked == []


def test_a_mirror_on_a_server_is_asked_first(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(module.MIRROR, "https://example.org/mirror/")
    fetched(UPSTREAM)
    assert upstream.asked == [f"https://example.org/mirror/{PLACE}"]


Spoil = Callable[[Upstream, Path], None]


def from_a_server(upstream: Upstream, _: Path) -> None:
    upstream.content = b"something else"


def from_a_mirror(_: Upstream, mirror: Path) -> None:
    (mirror / PLACE).parent.mkdir(parents=True)
    (mirror / PLACE).write_bytes(b"something else")


@pytest.mark.parametrize("spoil", [from_a_server, from_a_mirror])
def test_another_file_than_the_recipe_means_is_refused(
    upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoil: Spoil
) -> None:
    monkeypatch.setenv(module.MIRROR, str(tmp_path / "mirror"))
    spoil(upstream, tmp_path / "mirror")
    with pytest.raises(TrustRefused) as caught:
        fetched(UPSTREAM)
    assert "thing@1.0" in str(caught.value)
    assert DIGEST.hex in str(caught.value)


def test_a_spoilt_file_in_the_cache_is_fetched_again(upstream: Upstream) -> None:
    fetched(UPSTREAM).write_bytes(b"spoilt")
    assert fetched(UPSTREAM).read_bytes() == CONTENT
    assert len(upstream.asked) == 2


def test_all_that_cannot_be_had_is_told_at_once_with_a_way(upstream: Upstream) -> None:
    upstream.content = None
    wanted = [source(UPSTREAM), SourceFile("other@2", Digest("sha256:" + "f" * 64), "o/f", ())]
    with pytest.raises(ToolFailed) as caught:
        fetch_sources(wanted, "3.11", Silent())
    text = str(caught.value)
    assert "thing@1.0" in text
    assert "other@2" in text
    assert UPSTREAM in text
    assert "IMAGEFACTORY_SOURCES=" in text
