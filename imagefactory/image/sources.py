"""The sources of a release's packages as a Spack mirror; each file is what its recipe says."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from imagefactory.base.errors import FactoryError, Fault, ServiceAway, ToolFailed, TrustRefused
from imagefactory.base.files import digest_of
from imagefactory.base.http import explain, open_client, retrying
from imagefactory.base.ordinary import ordinary_cache, ordinary_folder
from imagefactory.base.report import Report
from imagefactory.image.inputs import fetch
from imagefactory.recipe import Requirement
from imagefactory.release import SourceFile

MIRROR = "IMAGEFACTORY_SOURCES"  # a Spack mirror: a folder or a URL
# .../packages/source/c/cython/cython-3.1.3.tar.gz, .../packages/py3/p/pip/pip-25.1-py3-none-any.whl
_ON_PYPI = re.compile(r"/packages/[^/]+/[^/]/(?P<name>[^/]+)/(?P<file>[^/]+)$")
_SDIST = re.compile(r".*-(?P<version>[^-]+?)\.(tar\.gz|tar\.bz2|tgz|zip)")


def fetch_sources(sources: Sequence[SourceFile], python: str, report: Report) -> dict[str, Path]:
    """Get every source: place in a mirror to file, all checked.

    What is in the cache with the right digest is not asked for again; then comes the mirror that
    IMAGEFACTORY_SOURCES names, then PyPI (through pip, with its settings) or the recipe's own
    address. Raises TrustRefused for a wrong digest, ToolFailed with all that cannot be had.
    """
    found: dict[str, Path] = {}
    faults: list[Fault] = []
    for count, source in enumerate(sources):
        report.progress(f"get {source.package}", count, len(sources), "files")
        try:
            found[source.place] = _get(source, python, report)
        except TrustRefused:
            raise
        except FactoryError as err:
            faults.append(Fault(f"{source.package}: {err.faults[0].what}", err.faults[0].where))
    if faults:
        error = ToolFailed.from_faults(faults)
        error.detail = (
            f"Put the files into a Spack mirror (spack mirror create) and name it: {MIRROR}=FOLDER"
        )
        raise error
    return found


def requirement_of(source: SourceFile) -> Requirement | None:
    """What pip calls this file, if its recipe takes it from PyPI."""
    for url in source.urls:
        if (on_pypi := _ON_PYPI.search(url)) is None:
            continue
        file = on_pypi["file"]
        if file.endswith(".whl"):
            name, version = file.split("-")[:2]
            return Requirement(f"{name}=={version}", source.digest)
        if sdist := _SDIST.fullmatch(file):
            wanted = f"{on_pypi['name']}=={sdist['version']}"
            return Requirement(wanted, source.digest, is_sdist=True)
    return None


def _get(source: SourceFile, python: str, report: Report) -> Path:
    kept = ordinary_cache() / "sources" / source.digest.hex
    if kept.is_dir():
        for path in kept.iterdir():
            if digest_of(path) == source.digest:
                return path
    named = os.environ.get(MIRROR)
    if named and (path := Path(named).expanduser() / source.place).is_file():
        return _keep(source, path)
    if (requirement := requirement_of(source)) is not None:
        return fetch([requirement], python, report)[source.digest.hex]
    return _download(source, named)


def _keep(source: SourceFile, path: Path) -> Path:
    """Put a file into the cache if it is the right one."""
    if (digest := digest_of(path)) != source.digest:
        raise TrustRefused(
            f"the source of {source.package} is not the one that its recipe means: {digest}",
            where=str(path),
            fix=f"its sha256 must be {source.digest.hex}; get the file from another place",
        )
    kept = ordinary_folder(ordinary_cache() / "sources" / source.digest.hex)
    for other in kept.iterdir():
        other.unlink()
    target = kept / Path(source.place).name
    shutil.copyfile(path, target)
    return target


def _download(source: SourceFile, mirror: str | None) -> Path:
    store = ordinary_folder(ordinary_cache() / "sources")
    reasons = []
    with TemporaryDirectory(dir=store) as scratch:
        target = Path(scratch) / "file"
        for url in _addresses(source, mirror):
            try:
                retrying(lambda url=url: _stream(url, target))  # type: ignore[misc]
            except (ServiceAway, ToolFailed) as err:
                reasons.append(f"{url}: {err.faults[0].what}")
                continue
            return _keep(source, target)
    raise ToolFailed("no place has its source", where="; ".join(reasons))


def _addresses(source: SourceFile, mirror: str | None) -> Iterator[str]:
    if mirror and "://" in mirror:
        yield f"{mirror.rstrip('/')}/{source.place}"
    yield from source.urls


def _stream(url: str, target: Path) -> None:
    import httpx

    try:
        with (
            open_client() as client,
            client.stream("GET", url) as response,
            target.open("wb") as file,
        ):
            response.raise_for_status()
            for chunk in response.iter_bytes():
                file.write(chunk)
    except httpx.HTTPError as err:
        raise explain(err, url) from None
