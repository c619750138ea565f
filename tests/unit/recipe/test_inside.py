"""The scripts that Spack's Python runs in a build, with a Spack that says what a test wants."""

from __future__ import annotations

import json
import runpy
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

INSIDE = Path(__file__).parents[3] / "imagefactory" / "recipe" / "inside"
DEBIAN = {
    "openmpi-bin": "4.1.4-3+b1",
    "python3-numpy": "1:1.24.2-1+deb12u1",
    "libboost-dev": "1.74.0.3",
}


@dataclass(order=True)
class Spec:
    """A node: its recipe's content hash is `now`, the lock says `then`."""

    name: str
    version: str
    external: bool = False
    now: str = field(default="same", compare=False)
    then: str = field(default="same", compare=False)

    @property
    def package(self) -> Any:
        return SimpleNamespace(content_hash=lambda: self.now)

    @property
    def _package_hash(self) -> str:
        return self.then


class Modifications:
    """Spack's EnvironmentModifications: what the view sets."""

    def apply_modifications(self, environ: dict[str, str]) -> None:
        environ.update(
            PATH="/opt/release/view/bin:/usr/bin",
            MANPATH="/opt/release/view/share/man:",
            CMAKE_PREFIX_PATH="/opt/release/view",
            MPICC="/usr/bin/mpicc",
            SPACK_ENV="/opt/build/environment",
            NEST_INSTALL_DIR="/opt/release/software/nest 3",
            PYTHONPATH="/opt/release/view/lib/python3.11/site-packages",
            PYTHONNOUSERSITE="0",
        )


@pytest.fixture
def specs(monkeypatch: pytest.MonkeyPatch) -> list[Spec]:
    found: list[Spec] = []
    environment: Any = ModuleType("spack.environment")
    environment.active_environment = lambda: SimpleNamespace(
        all_specs=lambda: found, add_view_to_env=lambda changes, _view: changes
    )
    changes: Any = ModuleType("spack.util.environment")
    changes.EnvironmentModifications = Modifications
    spack: Any = ModuleType("spack")
    spack.environment = environment
    for name, module in {
        "spack": spack,
        "spack.environment": environment,
        "spack.util": ModuleType("spack.util"),
        "spack.util.environment": changes,
    }.items():
        monkeypatch.setitem(sys.modules, name, module)
    return found


def run(name: str, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    try:
        runpy.run_path(str(INSIDE / name), run_name="__main__")
    except SystemExit as err:
        return int(err.code or 0)
    return 0


@pytest.fixture
def check(specs: list[Spec], monkeypatch: pytest.MonkeyPatch) -> Any:
    def dpkg(words: list[str], **_: object) -> SimpleNamespace:
        return SimpleNamespace(stdout=DEBIAN.get(words[-1], ""))

    monkeypatch.setattr("subprocess.run", dpkg)
    packages = {
        "openmpi": "openmpi-bin",
        "py-numpy": "python3-numpy",
        "boost": "libboost-dev",
        "gsl": "libgsl-dev",
    }

    def checked(*nodes: Spec) -> int:
        specs[:] = nodes
        return run("check_lock.py", monkeypatch, json.dumps(packages))

    return checked


def test_a_lock_that_fits_is_taken(check: Any, capsys: pytest.CaptureFixture[str]) -> None:
    nodes = [
        Spec("nest", "3.10.0"),
        Spec("openmpi", "4.1.4", external=True),
        Spec("py-numpy", "1.24.2", external=True),
        Spec("boost", "1.74.0", external=True),
    ]
    assert check(*nodes) == 0
    assert "4 packages fit" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("node", "part"),
    [
        (Spec("nest", "3.10.0", now="edited"), "the recipe of nest is not the one"),
        (
            Spec("openmpi", "4.1.5", external=True),
            "means openmpi 4.1.5, and openmpi-bin is 4.1.4-3+b1",
        ),
        (Spec("openmpi", "4.1.40", external=True), "means openmpi 4.1.40"),
        (Spec("py-numpy", "1.2", external=True), "means py-numpy 1.2,"),
        (Spec("gsl", "2.7.1", external=True), "libgsl-dev is not installed"),
    ],
)
def test_what_does_not_fit_ends_the_build(
    check: Any, capsys: pytest.CaptureFixture[str], node: Spec, part: str
) -> None:
    assert check(Spec("cython", "3"), node) == 1
    assert part in capsys.readouterr().err


def test_the_environment_is_plain_exports_for_running(
    specs: list[Spec], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert specs == []
    target = tmp_path / "environment.sh"
    assert (
        run("write_environment.py", monkeypatch, str(target), "/opt/release", "PYTHONNOUSERSITE")
        == 0
    )
    assert target.read_text().splitlines() == [
        "export PATH=/opt/release/view/bin${PATH:+:$PATH}",
        "export NEST_INSTALL_DIR='/opt/release/software/nest 3'",
        "export PYTHONPATH=/opt/release/view/lib/python3.11/site-packages",
    ]
