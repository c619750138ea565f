"""The records of real sites in sites/: every value has a source, what is unknown is empty."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from imagefactory.base.errors import ConfigurationFault
from imagefactory.base.files import settings_folder
from imagefactory.site import UnicoreAccess, load_site

FOLDER = Path(__file__).parents[3] / "sites"
DRAFTS = ("galileo100", "jureca", "jusuf", "karolina")
OURS = {"schema", "name", "description"}
FILLED = {
    "store": "/project/store", "work": "/project/runs", "plugin": "pmix", "site": "A-SITE",
    "registry": "https://registry.example.org/rest/registries/default_registry",
}  # fmt: skip


def values(document: dict[str, Any], place: str = "") -> dict[str, Any]:
    """Every value of a record that is not empty, by dotted key."""
    found: dict[str, Any] = {}
    for key, item in document.items():
        if key == "sources" or (not place and key in OURS):
            continue
        if isinstance(item, dict):
            found |= values(item, f"{place}{key}.")
        elif item is not None:
            found[f"{place}{key}"] = item
    return found


def install(name: str) -> Path:
    path = settings_folder() / "sites" / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(FOLDER / path.name, path)
    return path


def test_these_are_all() -> None:
    assert {path.stem for path in FOLDER.glob("*.yaml")} == {*DRAFTS, "example"}


@pytest.mark.parametrize("name", DRAFTS)
def test_each_value_has_its_source_and_no_more(name: str) -> None:
    document = yaml.safe_load((FOLDER / f"{name}.yaml").read_text("utf-8"))
    assert set(values(document)) == set(document["sources"])
    assert document["unicore"]["registry"] is None, "no unverified URL is a default"
    assert document["unicore"]["url"] is None


@pytest.mark.parametrize("name", DRAFTS)
def test_a_draft_says_what_is_missing(name: str) -> None:
    install(name)
    with pytest.raises(ConfigurationFault) as caught:
        load_site(name)
    said = "\n".join(str(fault) for fault in caught.value.faults)
    assert "the key 'store' is missing" in said
    assert "unknown key" not in said


@pytest.mark.parametrize("name", DRAFTS)
def test_a_draft_that_is_filled_in_is_a_site(name: str) -> None:
    path = install(name)
    document = yaml.safe_load(path.read_text("utf-8"))
    for key, value in FILLED.items():
        for section in (document["folders"], document["launcher"], document["unicore"]):
            if key in section and section[key] is None:
                section[key] = value
    path.write_text(yaml.safe_dump(document), "utf-8")
    site = load_site(name)
    assert site.access.kind == "unicore"
    assert site.unicore is not None
    assert site.unicore.registry == FILLED["registry"]


RECORD = """\
schema: 1
name: a
access: {kind: unicore}
scheduler: {kind: slurm}
launcher: {kind: srun, plugin: pmix}
folders: {store: /s, work: /w}
"""


@pytest.mark.parametrize(
    ("unicore", "said"),
    [
        ("", "access by UNICORE needs the key unicore"),
        ("unicore: {site: A}", "needs the site's name and a registry"),
        ("unicore: {registry: 'http://a.test/r', site: A}", "http://a.test/r"),
        ("unicore: {url: 'https://a.test/A'}", "https://a.test/A"),
        ("unicore: {url: 'https://a.test/A/rest/core', sites: A}", "did you mean 'site'"),
        ("unicore: {url: 'https://a.test/A/rest/core', client_id: c}", "needs its issuer"),
    ],
)
def test_faults_of_the_key_unicore(unicore: str, said: str) -> None:
    path = settings_folder() / "sites" / "a.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(RECORD + unicore, "utf-8")
    with pytest.raises(ConfigurationFault) as caught:
        load_site("a")
    assert said in "\n".join(str(fault) for fault in caught.value.faults)


def test_the_key_unicore_is_read() -> None:
    path = settings_folder() / "sites" / "a.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(
        f"{RECORD}unicore: {{url: 'https://a.test/A/rest/core', ca: ~/ca.pem}}", "utf-8"
    )
    wanted = UnicoreAccess(url="https://a.test/A/rest/core", ca=Path.home() / "ca.pem")
    assert load_site("a").unicore == wanted
