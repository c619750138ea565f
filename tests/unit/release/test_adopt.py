"""`release import`, from files that stand for a checkout; git is in the integration tests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from imagefactory.base.errors import ConfigurationFault, TrustRefused, UsageFault
from imagefactory.base.report import Silent
from imagefactory.cli import main
from imagefactory.release import adopt, import_release, plan_import
from imagefactory.release.adopt import Adoption, release_name
from imagefactory.release.checkout import Checkout, commit_of, without_user
from imagefactory.release.concretize import key_of
from imagefactory.release.releases import Origin, list_releases, overlay_digest
from tests.conftest import Golden
from tests.unit.release.locks import document, node

COMMIT = "5" * 40
LISTING = (
    f"{'1' * 40}\tHEAD\n{'1' * 40}\trefs/heads/main\n{'2' * 40}\trefs/heads/v25.04\n"
    f"{'3' * 40}\trefs/tags/v25.02\n{'4' * 40}\trefs/tags/v25.04\n{COMMIT}\trefs/tags/v25.04^{{}}\n"
)
SPACK_YAML = """\
spack:
  specs: [nest@=3.8, py-pynn]
  packages: {all: {target: [x86_64_v3]}}
  include: [site-config/$SYSTEMNAME, /etc/spack.yaml]
"""


@pytest.fixture
def tree(tmp_path: Path, release_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files of a checkout, got without git; the working folder has a release already."""
    top = tmp_path / "checkout"
    for name, text in {
        "spack.yaml": SPACK_YAML,
        "repo.yaml": "repo: {namespace: ebrains-spack-builds}\n",
        "packages/py-pynn/package.py": "class PyPynn(PythonPackage): ...\n",
        "packages/nest/package.py": "from .x import y\nclass Nest(CMakePackage): ...\n",
        "packages/nest/fix.patch": "+x\n",
        "packages/Odd/package.py": "",
        "packages/nest/.hidden": "",
        "packages/notes.txt": "",
        "site-config/jusuf/packages.yaml": "packages: {zlib: {version: [1.10]}}\n",
        "site-config/jusuf/modules.yaml": "modules: {x: y}\n",
        "install.sh": "exit 1\n",
    }.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(text)

    @contextmanager
    def stand_in(_source: str, tag: str, _report: object) -> Iterator[Checkout]:
        yield Checkout(top, Origin("https://gitlab.example.org/esd.git", COMMIT, tag))

    monkeypatch.setattr(adopt, "checked_out", stand_in)
    monkeypatch.chdir(release_folder.parents[1])
    return top


def plan(site: str | None = None) -> Adoption:
    return plan_import("x", "v25.04", None, site, Silent())


def test_the_plan(tree: Path, golden: Golden, capsys: pytest.CaptureFixture[str]) -> None:
    main(["release", "import", "x", "--tag", "v25.04", "--site", "jusuf", "--dry-run"])
    golden.check("release/import.txt", capsys.readouterr().out)
    assert not Path("spack-envs/esd-25.04").exists()
    golden.check("release/import-sources.yaml", plan("jusuf").files["sources.yaml"].decode())
    golden.check("release/import-spack.yaml", plan("jusuf").files["spack.yaml"].decode())


def test_what_is_planned_is_written_and_no_more(tree: Path) -> None:
    planned = plan()
    release = import_release(planned)
    found = {path.relative_to(release.folder).as_posix()
             for path in release.folder.rglob("*") if path.is_file()}  # fmt: skip
    assert found == set(planned.files)
    assert release.overlay_digest == overlay_digest(release.overlay)
    assert key_of(release).overlay == str(release.overlay_digest)
    assert release.origin == Origin("https://gitlab.example.org/esd.git", COMMIT, "v25.04")
    assert [one.name for one in list_releases()] == ["esd-25.04", "esd-99.01"]
    assert not list(Path("spack-envs").glob(".*"))
    with pytest.raises(UsageFault, match="there already"):
        plan()


def test_nothing_half_written(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planned = plan()
    before = sorted(Path("spack-envs").rglob("*"))

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(adopt, "read_release", fail)
    with pytest.raises(OSError, match="disk full"):
        import_release(planned)
    assert sorted(Path("spack-envs").rglob("*")) == before


def test_a_lock_is_kept_byte_for_byte_and_pins_versions(tree: Path) -> None:
    text = json.dumps(document(node("nest@3.8"), node("py-pynn@0.12.3")))
    (tree / "spack.lock").write_text(text)
    planned = plan()
    assert planned.files["spack.lock"] == text.encode()
    assert {pin.package: pin.version for pin in planned.pins} == {
        **{"nest": "3.8", "py-pynn": "0.12.3"}
    }
    (tree / "spack.lock").write_text(text.replace("3.8", "3.9", 1))
    with pytest.raises(ConfigurationFault, match="edited by hand"):
        plan()
    old = text.replace('"lockfile-version": 6', '"lockfile-version": 4').replace(
        '"lockfile-version": 5', '"lockfile-version": 4'
    )
    (tree / "spack.lock").write_text(old)
    planned = plan()
    assert planned.files["spack.lock"] == old.encode()
    assert any("kept, but not read" in remark for remark in planned.remarks)
    assert {pin.package: pin.evidence for pin in planned.pins} == {
        **{"nest": "verified", "py-pynn": "unknown"}
    }


def test_links_that_leave_are_all_told(tree: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("x")
    (tree / "packages" / "nest" / "a.patch").symlink_to(secret)
    (tree / "site-config" / "all").symlink_to("../..")
    (tree / "spack.yaml").unlink()
    (tree / "spack.yaml").symlink_to("/etc/passwd")
    with pytest.raises(TrustRefused) as caught:
        plan()
    assert {fault.where for fault in caught.value.faults} == {
        *("spack.yaml", "packages/nest/a.patch", "site-config/all")
    }


def test_a_link_within_is_the_file_it_means(tree: Path) -> None:
    (tree / "packages" / "py-pynn" / "same.patch").symlink_to("../nest/fix.patch")
    name = "overlay/spack_repo/ebrains_spack_builds/packages/py_pynn/same.patch"
    assert plan().files[name] == b"+x\n"


@pytest.mark.parametrize("site", ["../..", "jusu", "", "."])
def test_an_unknown_site(tree: Path, site: str) -> None:
    with pytest.raises(UsageFault, match="knows no site"):
        plan(site)


def test_an_include_that_climbs_out_is_told(tree: Path) -> None:
    (tree / "spack.yaml").write_text("spack: {include: [a/../../secret.yaml], specs: []}\n")
    assert any("a/../../secret.yaml: not in the checkout" in one for one in plan().remarks)


@pytest.mark.parametrize(
    ("name", "text", "word"),
    [
        ("spack.yaml", "spack: [", "no YAML"),
        ("spack.yaml", "env: {}", "'spack' is missing"),
        ("spack.yaml", "spack: {a: 1, a: 2}", "stands twice"),
        ("repo.yaml", "repo: {namespace: ../x}", "can be no namespace"),
        ("repo.yaml", "repo: {namespace: builtin}", "can be no namespace"),
        ("repo.yaml", "repo: {subdirectory: ../x}", "subdirectory"),
    ],
)
def test_faults_name_the_file_of_the_checkout(tree: Path, name: str, text: str, word: str) -> None:
    (tree / name).write_text(text)
    with pytest.raises(ConfigurationFault, match=word) as caught:
        plan()
    assert caught.value.faults[0].where.startswith(name)


def test_recipes_of_spack_1_are_kept_as_they_are(tree: Path) -> None:
    recipe = tree / "spack_repo" / "esd" / "packages" / "py_neo" / "package.py"
    recipe.parent.mkdir(parents=True)
    recipe.write_text("x\n")
    assert plan().files["overlay/spack_repo/esd/packages/py_neo/package.py"] == b"x\n"


def test_a_checkout_without_recipes(tree: Path) -> None:
    (tree / "packages").rename(tree / "others")
    release = import_release(plan())
    assert release.overlay.is_dir()


def test_the_pins_of_an_imported_release_are_no_model(tree: Path) -> None:
    import_release(plan_import("x", "v1", "zzz", None, Silent()))
    assert any("as in esd-99.01" in remark for remark in plan().remarks)


@pytest.mark.parametrize(
    ("tag", "name"),
    [("v25.04", "esd-25.04"), ("ebrains-25-04", "esd-25.04"), ("release_2504", "esd-25.04")],
)
def test_a_name_from_a_tag(
    tag: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert release_name(None, tag) == name


@pytest.mark.parametrize(("name", "tag"), [(None, "v1"), (None, "12" * 20), ("a/b", "v25.04"),
                                           ("..", "v25.04"), ("", "v25.04")])  # fmt: skip
def test_no_name(name: str | None, tag: str) -> None:
    with pytest.raises(UsageFault, match="esd-YY"):
        release_name(name, tag)


def test_a_tag_is_the_commit_it_holds() -> None:
    assert commit_of(LISTING, "v25.04", "x") == COMMIT  # not the tag's own object, nor the branch
    assert commit_of(LISTING, "v25.02", "x") == "3" * 40


@pytest.mark.parametrize("name", ["main", "HEAD"])
def test_a_branch_is_refused_with_its_commit(name: str) -> None:
    with pytest.raises(UsageFault, match=f"--tag {'1' * 40}"):
        commit_of(LISTING, name, "x")


def test_the_nearest_tag() -> None:
    with pytest.raises(UsageFault, match=r"did you mean 'v25\.02'"):
        commit_of(LISTING, "v25.2", "x")


def test_an_address_has_no_token() -> None:
    assert without_user("https://me:token@example.org/x.git") == "https://example.org/x.git"
    assert without_user("git@example.org:x.git") == "git@example.org:x.git"
    assert without_user("/srv/a@b/x") == "/srv/a@b/x"
