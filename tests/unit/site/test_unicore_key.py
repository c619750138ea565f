"""The key unicore of a site record: what it takes, and every fault of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from imagefactory.base.errors import ConfigurationFault
from imagefactory.base.files import settings_folder
from imagefactory.site import UnicoreAccess, load_site

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
