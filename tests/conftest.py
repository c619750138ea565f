"""Shared by all tests: sealed unit tests, and texts that are compared whole."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

GOLDEN = Path(__file__).parent / "golden"


@pytest.hookimpl(tryfirst=True)  # xdist reads the groups in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever stands in tests/integration is an integration test, and runs after the others.

    What uses the sandbox stays in one process, for there is one; the other files of tests go
    to whichever process is free.
    """
    for item in items:
        if "integration" in item.path.parts:
            item.add_marker(pytest.mark.integration)
            shared = "sandbox" in getattr(item, "fixturenames", ())
            item.add_marker(pytest.mark.xdist_group("sandbox" if shared else item.path.name))
    items.sort(key=lambda item: item.get_closest_marker("integration") is not None)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node: Any, ids: list[str]) -> None:
    """Tests that share the sandbox never run beside each other because a plugin changed."""
    if node.config.getoption("dist") == "loadgroup" and not all("@" in name for name in ids):
        raise pytest.UsageError("xdist did not group the tests: docs/ci.md")


@pytest.fixture(autouse=True)
def _sealed(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A unit test that starts a program or opens a socket fails and says which."""
    if request.node.get_closest_marker("integration"):
        return

    def refuse(_self: object, target: object, *_: object, **__: object) -> None:
        pytest.fail(f"unit test reached outside: {target!r}")

    monkeypatch.setattr(subprocess.Popen, "__init__", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.delenv("GITLAB_CI", raising=False)  # reports look otherwise there
    for name in ("CACHE", "DATA", "SETTINGS"):
        monkeypatch.setenv(f"IMAGEFACTORY_{name}", str(tmp_path / name.lower()))


class Golden:
    """Compares a whole text with a file in tests/golden; `UPDATE_GOLDEN=1` writes it instead."""

    def check(self, name: str, text: str) -> None:
        path = GOLDEN / name
        if os.environ.get("UPDATE_GOLDEN"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert path.is_file(), f"no golden file {name}: run with UPDATE_GOLDEN=1 and read it"
        assert text == path.read_text(encoding="utf-8")


@pytest.fixture
def golden() -> Golden:
    return Golden()
