"""`release import`: the ESD's own checkout becomes a release of ours, with its commits."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

from imagefactory.base.errors import ConfigurationFault, TrustRefused, UsageFault, nearest
from imagefactory.base.report import Report
from imagefactory.base.settings import check, load_schema, read_yaml
from imagefactory.base.values import Digest
from imagefactory.release.checkout import Checkout, checked_out, without_user
from imagefactory.release.environments import (
    Adapted,
    Settings,
    adapt,
    asked_of,
    builtin_of,
    disagreements,
    included,
    pins_of,
    target_of,
)
from imagefactory.release.lock import FORMATS, Lock, parse_lock
from imagefactory.release.recipes import convert, module_name, namespace_name
from imagefactory.release.releases import (
    ENVIRONMENT,
    FOLDER,
    LOCK,
    SOURCES,
    GitPin,
    Origin,
    Pin,
    Release,
    content_digest,
    list_releases,
    overlay_digest,
    read_release,
)

SITES = "site-config"
OVERLAY = "overlay"
NAMESPACE = "esd"  # of recipes for which no repo.yaml names one
API = "v2.0"  # the first with modules; Spack 1.0 and later read it
_NAME = re.compile(r"[a-z0-9][a-z0-9.-]*")
_YEAR_MONTH = re.compile(r"(?<!\d)(\d\d)[.-]?(\d\d)(?!\d)")
_SPACK = {"type": "object", "required": ["spack"], "properties": {"spack": {"type": "object"}}}
_REPOSITORY = {
    "type": "object",
    "required": ["repo"],
    "properties": {
        "repo": {
            "type": "object",
            "properties": {name: {"type": "string"} for name in ("namespace", "subdirectory")},
        }
    },
}


@dataclass
class _Draft:
    """The files of a release as they come together: path to content."""

    files: dict[str, bytes] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)

    def add(self, name: str, text: str) -> None:
        self.files[name] = text.encode()


@dataclass(frozen=True)
class Adoption:
    """A release to be written: its files by path, and what a person has to know of them."""

    name: str
    origin: Origin
    files: Mapping[str, bytes]
    pins: tuple[Pin, ...]
    remarks: tuple[str, ...]

    @property
    def folder(self) -> Path:
        return FOLDER / self.name

    def lines(self) -> list[str]:
        """The plan for people: every file, then every remark."""
        written = [f"write {self.folder / name}" for name in sorted(self.files)]
        return [f"import {self.origin.text}", *written, self.counted, *self.told()]

    @property
    def counted(self) -> str:
        """How many versions are known, in one line."""
        known = sum(pin.evidence == "verified" for pin in self.pins)
        return f"{len(self.pins)} packages: {known} verified, {len(self.pins) - known} unknown"

    def told(self) -> list[str]:
        """The remarks, one a line."""
        return [f"note: {remark}" for remark in self.remarks]


def plan_import(
    source: str, tag: str, name: str | None, site: str | None, report: Report
) -> Adoption:
    """Read a checkout (path or git address) at a tag, and decide what is kept of it.

    Spack, its packages and the target are those that the checkout names, else those of the newest
    release. Writes nothing. Raises UsageFault, ConfigurationFault, ToolFailed (git's own words)
    and TrustRefused for files that leave the checkout.
    """
    model = _model()
    with checked_out(source, tag, report) as checkout:
        name = release_name(name, tag)
        checkout.require_inside([ENVIRONMENT, LOCK, "repo.yaml", "packages", "spack_repo", SITES])
        draft = _Draft()
        environment = _environment(checkout, site, draft)
        lock = _lock(checkout, draft)
        _recipes(checkout, draft)
        origin = checkout.origin
    if Path(origin.git).is_absolute():
        draft.remarks.append(f"{origin.git} is a place of this machine: others cannot look it up")
    pins = pins_of(asked_of(environment), lock)
    draft.remarks += disagreements(pins, lock)
    draft.add(SOURCES, _sources(name, origin, environment, lock, pins, model, draft))
    return Adoption(name, origin, draft.files, pins, tuple(draft.remarks))


def release_name(name: str | None, tag: str) -> str:
    """The release's name, which may come from its tag; raises UsageFault, also if it is taken."""
    if name is None:
        found = _YEAR_MONTH.search(tag) if not re.fullmatch("[0-9a-f]{40}", tag) else None
        if found is None:
            raise UsageFault(f"{tag} names no year and month", fix="add --name esd-YY.MM")
        name = f"esd-{found[1]}.{found[2]}"
    if not _NAME.fullmatch(name):
        raise UsageFault(f"{name!r} is no name of a release", fix="write --name esd-YY.MM")
    if os.path.lexists(FOLDER / name):
        raise UsageFault(
            "this release is there already, and is left as it is",
            where=str(FOLDER / name),
            fix="give another --name, or remove that folder",
        )
    return name


def import_release(adoption: Adoption) -> Release:
    """Write a release's folder, whole or not at all."""
    with TemporaryDirectory(prefix=".import-", dir=FOLDER) as scratch:
        folder = Path(scratch) / adoption.name
        for name, content in adoption.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        found = read_release(folder)
        if overlay_digest(found.overlay) != found.overlay_digest:
            raise TrustRefused("the overlay is not what was planned", where=str(adoption.folder))
        release_name(adoption.name, "")  # somebody may have taken the name meanwhile
        folder.rename(adoption.folder)
    return read_release(adoption.folder)


def _model() -> Release:
    """The newest release that is our own: an imported one names the Spack of others."""
    releases = [one for one in list_releases() if one.origin is None]
    if not releases:
        raise UsageFault(
            "there is no release whose Spack could be taken",
            where=str(FOLDER),
            fix="run it in a folder with spack-envs/",
        )
    return releases[-1]


def _environment(checkout: Checkout, site: str | None, draft: _Draft) -> dict[str, Any]:
    """Add spack.yaml; gives what stands in it under `spack:`."""
    import yaml

    text = checkout.text(ENVIRONMENT) if checkout.has(ENVIRONMENT) else None
    if text is None:
        raise ConfigurationFault(
            "there is no spack.yaml", where=checkout.origin.text, fix="give the ESD's repository"
        )
    document = _yaml(checkout, ENVIRONMENT, _SPACK)["spack"]
    further = [*_included(checkout, document, site, draft), *_site(checkout, site)]
    # A site may be named twice: by `include:` and by the caller.
    adapted: Adapted = adapt(text, list(dict.fromkeys(further)))
    draft.remarks += adapted.remarks
    draft.add(ENVIRONMENT, adapted.text)
    found: dict[str, Any] = yaml.safe_load(adapted.text)["spack"]
    upstream = builtin_of(document)
    return {**found, "repos": {"builtin": upstream}} if upstream else found


def _yaml(checkout: Checkout, name: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """A YAML file of the checkout, checked; its faults name it as people know it."""
    checkout.read(name)
    try:
        return read_yaml(checkout.root / name, schema)
    except ConfigurationFault as err:
        top = f"{checkout.root}/"
        faults = [
            type(fault)(fault.what, fault.where.replace(top, ""), fault.fix) for fault in err.faults
        ]
        raise ConfigurationFault.from_faults(faults) from None


def _included(
    checkout: Checkout, document: Mapping[str, Any], site: str | None, draft: _Draft
) -> Iterator[Settings]:
    """The settings that `include:` names and that are in the checkout; others are remarks."""
    for entry in included(document):
        path = entry
        if site is not None:  # how the ESD's scripts name a site
            path = path.replace("${SYSTEMNAME}", site).replace("$SYSTEMNAME", site)
        path = os.path.normpath(path)
        inside = not path.startswith(("/", "..", "~", "$")) and "://" not in entry
        if inside and checkout.folder(path):
            yield from _settings(checkout, path)
        elif inside and checkout.has(path):
            _yaml(checkout, path, {"type": "object"})
            yield Settings(path, checkout.text(path))
        else:
            draft.remarks.append(f"spack.yaml: include: {entry}: not in the checkout, not taken in")


def _site(checkout: Checkout, site: str | None) -> Iterator[Settings]:
    if site is None:
        return
    folders = [checkout.root / SITES] if checkout.folder(SITES) else []
    known = [
        path.name
        for top in folders
        for path in top.iterdir()
        if path.is_dir() and not path.is_symlink()
    ]
    if site not in known:
        raise UsageFault(
            f"the checkout knows no site {site!r}", where=SITES, fix=nearest(site, known)
        )
    yield from _settings(checkout, f"{SITES}/{site}")


def _settings(checkout: Checkout, folder: str) -> Iterator[Settings]:
    for name in checkout.files(folder):
        if name.endswith(".yaml") and name.count("/") == folder.count("/") + 1:
            if checkout.read(name).strip():
                _yaml(checkout, name, {"type": "object"})
            yield Settings(name, checkout.text(name))


def _lock(checkout: Checkout, draft: _Draft) -> Lock | None:
    """Add spack.lock as it is, if there is one; None also for a format that we cannot read."""
    if not checkout.has(LOCK):
        draft.remarks.append("the checkout has no spack.lock")
        return None
    text = checkout.text(LOCK)
    try:
        lock = parse_lock(text, LOCK)
    except ConfigurationFault as err:
        if not _other_format(text):
            raise
        draft.add(LOCK, text)
        draft.remarks.append(f"spack.lock: kept, but not read: {err.faults[0].what}")
        return None
    draft.add(LOCK, text)
    return lock


def _other_format(text: str) -> bool:
    try:
        number = json.loads(text)["_meta"]["lockfile-version"]
    except (ValueError, KeyError, TypeError):
        return False
    return isinstance(number, int) and number not in FORMATS


def _recipes(checkout: Checkout, draft: _Draft) -> None:
    """Add the overlay: recipes of Spack 0.2x converted, those of Spack 1.x as they are."""
    before = len(draft.files)
    for name in checkout.files("spack_repo") if checkout.folder("spack_repo") else []:
        _keep(checkout, name, f"{OVERLAY}/{name}", draft)
    if checkout.has("packages"):
        _old_recipes(checkout, draft)
    if len(draft.files) == before:
        draft.remarks.append("the checkout has no recipes: the overlay is empty")
        draft.add(f"{OVERLAY}/README.md", "The imported repository has no recipes of its own.\n")


def _old_recipes(checkout: Checkout, draft: _Draft) -> None:
    import yaml

    folder, namespace = _repository(checkout, draft)
    new = f"{OVERLAY}/spack_repo/{namespace.replace('.', '/')}"
    draft.add(f"{new}/repo.yaml", yaml.safe_dump({"repo": {"namespace": namespace, "api": API}}))
    for name in checkout.files(folder):
        package, _, rest = name.removeprefix(f"{folder}/").partition("/")
        module = module_name(package)
        if not rest and package not in {"repo.yaml", "__init__.py"}:
            draft.remarks.append(f"{name}: left out, it belongs to no package")
        elif rest and module is None:
            draft.remarks.append(f"{name}: left out, {package!r} can be no package of Spack 1.x")
        elif rest:
            _keep(checkout, name, f"{new}/packages/{module}/{rest}", draft, _converted(rest, draft))


def _converted(rest: str, draft: _Draft) -> Callable[[str, str], str] | None:
    """How a file is changed: package.py is converted, all else is kept as it is."""

    def change(name: str, text: str) -> str:
        recipe = convert(text)
        draft.remarks += [f"{name}: {remark}" for remark in recipe.remarks]
        return recipe.text

    return change if rest == "package.py" else None


def _keep(
    checkout: Checkout,
    name: str,
    place: str,
    draft: _Draft,
    change: Callable[[str, str], str] | None = None,
) -> None:
    """Add a file of the checkout, unless it is one that counts for no overlay."""
    parts = name.split("/")
    if any(part == "__pycache__" or part.startswith(".") for part in parts):
        draft.remarks.append(f"{name}: left out, a hidden file")
        return
    if place in draft.files:
        raise ConfigurationFault(
            f"{place} would be written twice", where=name, fix="keep one of packages, spack_repo"
        )
    draft.files[place] = (
        change(name, checkout.text(name)).encode() if change else checkout.read(name)
    )


def _repository(checkout: Checkout, draft: _Draft) -> tuple[str, str]:
    """The folder of the packages and their namespace, as repo.yaml has them."""
    where = next((one for one in ("repo.yaml", "packages/repo.yaml") if checkout.has(one)), None)
    if where is None:
        draft.remarks.append(f"there is no repo.yaml: the recipes get the namespace {NAMESPACE}")
        return "packages", NAMESPACE
    settings = _yaml(checkout, where, _REPOSITORY)["repo"]
    if settings.get("subdirectory", "packages") != "packages":
        raise ConfigurationFault(
            "only the subdirectory packages is known", where=f"{where}: repo.subdirectory"
        )
    old = settings.get("namespace", NAMESPACE)
    new = namespace_name(old)
    if new is None or new.split(".")[0] == "builtin":
        raise ConfigurationFault(
            f"{old!r} can be no namespace of an overlay", where=f"{where}: repo.namespace"
        )
    if new != old:
        draft.remarks.append(f"{where}: the namespace {old} becomes {new}, as Spack 1.x wants it")
    return "packages", new


def _sources(
    name: str,
    origin: Origin,
    environment: Mapping[str, Any],
    lock: Lock | None,
    pins: tuple[Pin, ...],
    model: Release,
    draft: _Draft,
) -> str:
    """The text of sources.yaml."""
    import yaml

    target = target_of(environment)
    if target is None:
        draft.remarks.append(f"no one target is named: {model.target}, as in {model.name}")
    document = {
        "schema": 1,
        "release": name,
        "description": f"Imported from {origin.text}",
        "origin": {"git": origin.git, **({"tag": origin.tag} if origin.tag else {}),
                   "commit": origin.commit},
        "spack": vars(_spack_pin(lock, model, draft)),
        "packages": vars(_packages_pin(environment, model, draft)),
        "overlay": {"folder": OVERLAY, "digest": str(_digest(draft.files))},
        "target": target or model.target,
        "pins": [{key: value for key, value in vars(pin).items() if value} for pin in pins],
    }  # fmt: skip
    check(document, load_schema("imagefactory.release", "sources.schema.json"), SOURCES)
    return "# By imagefactory release import.\n" + yaml.safe_dump(
        document, sort_keys=False, width=120, allow_unicode=True
    )


def _spack_pin(lock: Lock | None, model: Release, draft: _Draft) -> GitPin:
    """The Spack that made the checkout's lock, if it can read what we keep; else ours."""
    if lock is None or lock.spack_version is None:
        return model.spack
    made = f"spack.lock was made by Spack {lock.spack_version} ({lock.spack_commit or 'no commit'})"
    known = re.fullmatch("[0-9a-f]{40}", lock.spack_commit or "")
    # Before 1.0, development versions of it included, Spack reads no overlay of modules.
    if known and re.fullmatch(r"[1-9]\d*(\.\d+)*", lock.spack_version):
        return GitPin(lock.spack_version, known[0], model.spack.git)
    draft.remarks.append(f"{made}; a new lock would be made by Spack {model.spack.version}")
    return model.spack


def _packages_pin(environment: Mapping[str, Any], model: Release, draft: _Draft) -> GitPin:
    upstream = builtin_of(environment)
    if upstream is not None:
        version = str(upstream.get("tag", upstream["commit"][:12]))
        return GitPin(version, upstream["commit"], without_user(upstream["git"]))
    draft.remarks.append(
        f"no commit of Spack's packages is named: {model.packages.version}, as in {model.name}"
    )
    return model.packages


def _digest(files: Mapping[str, bytes]) -> Digest:
    """The digest of the overlay among the files."""
    top = PurePosixPath(OVERLAY)
    paths = {PurePosixPath(name): content for name, content in files.items()}
    return content_digest(
        {path.relative_to(top): content for path, content in paths.items() if top in path.parents}
    )
