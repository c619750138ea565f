"""Shipped records: every value has its source, and the user's record is laid over them."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from imagefactory.base.errors import ConfigurationFault, UsageFault
from imagefactory.base.files import settings_folder
from imagefactory.cli.main import imagefactory
from imagefactory.site import Launcher, UnicoreAccess, load_site, own_record, shipped_records
from imagefactory.site.shipped import lay_over
from tests.conftest import Golden

NAMES = ["galileo100", "jureca", "jusuf", "karolina"]
OWN = """\
access: {kind: unicore}
unicore: {registry: "https://registry.example.org/rest/registries/default_registry"}
folders: {store: /p/store, work: /p/work}
"""


def write(name: str, text: str) -> None:
    path = settings_folder() / "sites" / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def test_what_is_shipped() -> None:
    assert list(shipped_records()) == NAMES
    top = Path(__file__).parents[3] / "sites"
    assert sorted(path.stem for path in top.iterdir()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_each_value_has_source_and_date_and_each_source_a_value(name: str) -> None:
    import yaml

    values = shipped_records()[name].values
    given = {value.key for value in values if value.value is not None}
    assert len(given) > 3
    assert given == {value.key for value in values if value.source and value.date}
    text = (Path(__file__).parents[3] / "sites" / f"{name}.yaml").read_text("utf-8")
    sources = yaml.safe_load(text)["sources"]
    assert set(sources) == given, "a source of nothing"


@pytest.mark.parametrize("name", NAMES)
def test_no_address_is_a_default(name: str) -> None:
    """Nothing was verified, and what a user is, only the user knows."""
    values = {value.key: value.value for value in shipped_records()[name].values}
    for key in ("unicore.registry", "unicore.url", "unicore.issuer", "access.host"):
        assert values[key] is None
    for key in ("access.user", "scheduler.account", "folders.store", "folders.work"):
        assert values[key] is None
    assert not [value for value in values.values() if "://" in str(value)]


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_record_alone_tells_all_that_is_missing(name: str, golden: Golden) -> None:
    with pytest.raises(ConfigurationFault) as caught:
        load_site(name)
    text = str(caught.value).replace(str(settings_folder()), "SETTINGS")
    golden.check(f"site/missing-{name}.txt", text + "\n")


def test_a_short_record_of_the_user_completes_it() -> None:
    write("jusuf", OWN)
    site = load_site("JUSUF")
    assert site.name == "jusuf"
    assert site.launcher == Launcher("srun", "pspmix", True)
    assert site.unicore == UnicoreAccess(
        "JUSUF", "https://registry.example.org/rest/registries/default_registry"
    )
    assert (site.access.where, site.store) == ("UNICORE", "/p/store")


def test_the_users_values_win() -> None:
    write("jusuf", OWN + "launcher: {plugin: pmix}\nscheduler: {account: mine}\n")
    site = load_site("jusuf")
    assert site.launcher == Launcher("srun", "pmix", True)
    assert (site.scheduler.kind, site.scheduler.account) == ("slurm", "mine")


def test_faults_of_a_short_record_are_told_together() -> None:
    write("galileo100", OWN.replace("store:", "stor:") + "nodes: many\n")
    with pytest.raises(ConfigurationFault) as caught:
        load_site("galileo100")
    text = str(caught.value)
    assert "unknown key 'stor'" in text
    assert "'many' is a text" in text
    assert "the key 'plugin' is missing" in text


def test_a_way_to_the_site_is_not_taken_from_the_shipped_record() -> None:
    own = {"access": {"kind": "ssh", "host": "h"}, "launcher": {"kind": "mpirun"}}
    whole = lay_over(own, shipped_records()["jusuf"].document)
    assert "unicore" not in whole
    assert whole["launcher"] == {"kind": "mpirun"}, "a section of another kind is the user's alone"
    assert whole["access"] == {"kind": "ssh", "host": "h"}


def test_a_near_name_of_a_shipped_site() -> None:
    with pytest.raises(UsageFault, match="did you mean 'karolina'"):
        load_site("Carolina")


def test_the_verb_shows_values_with_their_sources(golden: Golden) -> None:
    done = CliRunner().invoke(imagefactory, ["sites", "JUSUF", "--sources"])
    golden.check("site/sources-jusuf.txt", done.output.replace(str(own_record("jusuf")), "OWN"))


def test_the_verb_names_what_could_be_used() -> None:
    done = CliRunner().invoke(imagefactory, ["sites"])
    assert "jusuf        not yet: what is missing says `imagefactory sites jusuf`" in done.output
    write("jusuf", OWN)
    done = CliRunner().invoke(imagefactory, ["sites"])
    assert "jusuf        srun pspmix UNICORE" in done.output


@pytest.mark.parametrize(("name", "said"), [([], "needs a site"), (["jusff"], "'jusuf'")])
def test_sources_of_nothing(name: list[str], said: str) -> None:
    done = CliRunner().invoke(imagefactory, ["sites", *name, "--sources"])
    assert done.exit_code == 2
    assert said in done.output


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_record_may_be_copied_and_filled_in(name: str) -> None:
    top = Path(__file__).parents[3] / "sites"
    write(name, (top / f"{name}.yaml").read_text(encoding="utf-8"))
    with pytest.raises(ConfigurationFault) as caught:
        load_site(name)
    assert "unknown key" not in str(caught.value)
    assert "the key 'store' is missing" in str(caught.value)
