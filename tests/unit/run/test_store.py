"""The store of a site: the script's words as images, through a shell and through UNICORE."""

from __future__ import annotations

from pathlib import Path

import pytest

from imagefactory.base.errors import ServiceAway
from imagefactory.base.process import Done
from imagefactory.base.report import Silent
from imagefactory.run import store
from imagefactory.run.job import Via
from imagefactory.run.store import StoredImage, clean_store
from imagefactory.sandbox.unicore import Outcome
from tests.unit.run.fake_site import slurm_site
from tests.unit.run.test_remote import Remote, remote  # noqa: F401 - a fixture

SAID = """\
a banner of the login shell
imagefactory kept aa 2000000 2026-11-20 job r.1
imagefactory unused bb 1000 2026-01-02
imagefactory removed cc 10 2026-01-01
"""
IMAGES = [
    StoredImage("aa", 2000000, "2026-11-20", "kept", "job r.1"),
    StoredImage("bb", 1000, "2026-01-02", "unused"),
    StoredImage("cc", 10, "2026-01-01", "removed"),
]


class Shell:
    where = "login"

    def __init__(self, status: int = 0) -> None:
        self.words: list[tuple[str, ...]] = []
        self.status = status

    def __enter__(self) -> Shell:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def run(self, _script: str, *words: str, timeout: float) -> Done:
        assert timeout > 0
        self.words.append(words)
        errors = "cannot ask Slurm which jobs there are" if self.status else ""
        return Done(("sh",), self.status, SAID, errors, 0.1)


def test_through_a_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    shell = Shell()
    monkeypatch.setattr(store, "open_shell", lambda *_: shell)
    assert clean_store(slurm_site(), Silent()) == IMAGES
    clean_store(slurm_site(), Silent(), days=7, remove=True)
    assert shell.words == [
        ("clean", "/shared/store", "30", "slurm", "show"),
        ("clean", "/shared/store", "7", "slurm", "remove"),
    ]
    assert IMAGES[0].line().endswith("used 2026-11-20  kept (job r.1)")


def test_slurm_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "open_shell", lambda *_: Shell(19))
    with pytest.raises(ServiceAway, match="cannot ask Slurm"):
        clean_store(slurm_site(), Silent())


def test_through_unicore(remote: Remote) -> None:  # noqa: F811
    commands = []

    def behave(step: str, command: str, folder: Path) -> Outcome:
        assert (folder / "stage_one.sh").is_file()
        commands.append((step, command))
        (folder / "stdout").write_text(SAID, "utf-8")
        return Outcome(0, looks=2)

    remote.login.behaviour = behave
    found = clean_store(remote.site(), Silent(), via=Via.UNICORE, remove=True, link=remote.link())
    assert found == IMAGES
    assert [(step, command.split()[1:]) for step, command in commands] == [
        ("main", ["stage_one.sh", "clean", "/shared/store", "30", "slurm", "remove"])
    ]
