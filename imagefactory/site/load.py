"""Site records: found by name, laid over the shipped ones, checked; `here` is built in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from imagefactory.base.errors import ConfigurationFault, Fault, UsageFault, nearest
from imagefactory.base.files import data_folder, settings_folder
from imagefactory.base.ordinary import ordinary_cache
from imagefactory.base.settings import check, load_schema, read_yaml
from imagefactory.site.record import Access, Launcher, Scheduler, Site, UnicoreAccess
from imagefactory.site.shipped import lay_over, shipped_records

HERE = "here"


def load_site(name: str) -> Site:
    """The site of this name, in any case of letters: the user's record, the sandbox's, the built-in
    `here`, or a shipped one.

    Raises UsageFault with the nearest name for an unknown site, ConfigurationFault with all faults
    of its record, among them what a shipped record does not know.
    """
    known, name = _find_records(), name.lower()
    if name in known:
        return read_site(known[name])
    if name == HERE:
        return here()
    if name in shipped_records():
        return _make_site({}, own_record(name))
    names = {*known, *shipped_records(), HERE}
    raise UsageFault(
        f"there is no site {name!r}",
        where=str(_folders()[0]),
        fix=nearest(name, names) + "; the sites of the sandbox need: imagefactory sandbox up",
    )


def own_record(name: str) -> Path:
    """Where the user's record of a site is, or would be."""
    return _folders()[0] / f"{name}.yaml"


def list_sites() -> list[Site]:
    """All sites that can be used, by name: shipped ones only where the user has a record, too.

    Raises ConfigurationFault with the faults of all damaged records.
    """
    sites: list[Site] = []
    faults: list[Fault] = []
    known = _find_records()
    for path in known.values():
        try:
            sites.append(read_site(path))
        except ConfigurationFault as err:
            faults += err.faults
    if faults:
        raise ConfigurationFault.from_faults(faults)
    if HERE not in known:
        sites.append(here())
    return sorted(sites, key=lambda site: site.name)


def read_site(path: Path) -> Site:
    """Read one record, complete it from the shipped one of its name; raises ConfigurationFault with
    every fault found."""
    return _make_site(read_yaml(path, {"type": "object"}, empty_is_missing=True), path)


def _make_site(own: dict[str, Any], path: Path) -> Site:
    shipped = shipped_records().get(path.stem)
    whole = lay_over(own, shipped.document) if shipped else own
    document = check(whole, load_schema("imagefactory.site", "site.schema.json"), str(path))
    faults = list(_find_conflicts(document, path))
    if faults:
        raise ConfigurationFault.from_faults(faults)
    access = dict(document["access"])
    for key in ("identity", "known_hosts"):
        if key in access:
            access[key] = Path(access[key]).expanduser()
    return Site(
        name=document["name"],
        description=document.get("description", ""),
        access=Access(**access),
        apptainer=document.get("apptainer", "apptainer"),
        scheduler=Scheduler(**document["scheduler"]),
        launcher=Launcher(**document["launcher"]),
        store=document["folders"]["store"],
        work=document["folders"]["work"],
        nodes=document.get("nodes", 1),
        environment=tuple(document.get("environment", {}).items()),
        unicore=_read_unicore(document.get("unicore")),
    )


def _read_unicore(given: dict[str, str] | None) -> UnicoreAccess | None:
    if given is None:
        return None
    words: dict[str, Any] = dict(given)
    if "ca" in words:
        words["ca"] = Path(words["ca"]).expanduser()
    return UnicoreAccess(**words)


def here() -> Site:
    """The user's own machine: no queue, and the image's own mpirun inside one container."""
    cache = ordinary_cache()
    return Site(
        name=HERE,
        description="this machine: Apptainer, no queue, the image's own mpirun",
        access=Access("local"),
        apptainer="apptainer",
        scheduler=Scheduler("none"),
        launcher=Launcher("mpirun"),
        store=str(cache / "store"),
        work=str(cache / "runs"),
    )


def _find_conflicts(document: dict[str, Any], path: Path) -> Iterator[Fault]:
    """What each key allows, but not all together."""
    if document["name"] != path.stem:
        yield Fault(
            f"the site is named {document['name']!r}, its file {path.name!r}",
            f"{path}: name",
            f"write name: {path.stem}, or rename the file",
        )
    unicore = document.get("unicore")
    if unicore is not None and not ("url" in unicore or {"registry", "site"} <= set(unicore)):
        yield Fault(
            "UNICORE needs the site's name and a registry, or the site's url",
            f"{path}: unicore",
            "write registry: and site:, or url:",
        )
    if unicore is not None and "client_id" in unicore and "issuer" not in unicore:
        yield Fault("a client_id needs its issuer", f"{path}: unicore", "add issuer:")
    if document["access"]["kind"] == "unicore" and unicore is None:
        yield Fault("access by UNICORE needs the key unicore", str(path), "add unicore:")
    queued = document["scheduler"]["kind"] == "slurm"
    launcher = document["launcher"]["kind"]
    if queued != (launcher == "srun"):
        yield Fault(
            f"launcher {launcher} does not go with scheduler {document['scheduler']['kind']}",
            f"{path}: launcher.kind",
            f"write launcher kind: {'srun' if queued else 'mpirun'}",
        )
    if not queued and document["access"]["kind"] != "local":
        yield Fault(
            "a site without a scheduler must be this machine",
            f"{path}: scheduler.kind",
            "write access kind: local, or scheduler kind: slurm",
        )
    if not queued and document.get("nodes", 1) != 1:
        yield Fault("without a scheduler there is one node", f"{path}: nodes", "write nodes: 1")
    if launcher == "mpirun" and {"plugin", "sharens"} & set(document["launcher"]):
        yield Fault(
            "mpirun takes no plugin and no sharens", f"{path}: launcher", "take these keys away"
        )


def _folders() -> tuple[Path, Path]:
    return settings_folder() / "sites", data_folder() / "sandbox" / "sites"


def _find_records() -> dict[str, Path]:
    """Files by site name; the user's own record wins over the sandbox's."""
    found: dict[str, Path] = {}
    for folder in _folders():
        for path in sorted(folder.glob("*.yaml")):
            found.setdefault(path.stem, path)
    return found
