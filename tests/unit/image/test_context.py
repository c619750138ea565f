"""The folder of a build by a release's lock: what is copied in, and what is bound to it."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from imagefactory.base.errors import ToolFailed
from imagefactory.base.ordinary import ordinary_cache
from imagefactory.base.report import Silent
from imagefactory.base.values import Digest
from imagefactory.image import build, context, plan_build, rebuild
from imagefactory.recipe import Recipe, SpackStack
from imagefactory.release import Lock, Materials, Release, SourceFile
from imagefactory.release.releases import GitPin
from tests.unit.image.conftest import FakeRunner, MakeRecipe

pytestmark = pytest.mark.usefixtures("machine")
REPORT = Silent()
SOURCE = SourceFile(
    "nest@3.8", Digest("sha256:" + "b" * 64), "_source-cache/archive/bb/b.tar.gz", ()
)


@pytest.fixture
def recipe(make_recipe: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recipe:
    """A recipe by a lock; Spack, recipes and the source are made up."""
    folder = tmp_path / "spack-envs" / "small"
    folder.mkdir(parents=True)
    (folder / "spack.yaml").write_text("spack: {specs: [nest]}\n")
    (folder / "spack.lock").write_text("{}\n")
    (folder / "sources.yaml").write_text("schema: 1\n")
    file = tmp_path / "package.py"
    file.write_text("class Nest: ...\n")
    spack, packages = (GitPin("1", digit * 40, "https://example.org/x") for digit in "12")
    digest = Digest("sha256:" + "c" * 64)
    overlay = folder.parent / "repo"
    release = Release("small", "", folder, spack, packages, overlay, digest, "x86_64", ())

    def collect(_release: Release, cache: Path, _report: object) -> Materials:
        overlay = {"spack_repo/esd/packages/nest/package.py": file}
        return Materials("user-1-2", cache / "tree", cache / "packages", overlay, (SOURCE,))

    monkeypatch.setattr(context, "collect", collect)
    monkeypatch.setattr(context, "fetch_sources", lambda *_: {SOURCE.place: file})
    lock = Lock(6, "1.1.0", None, (), {})
    return make_recipe(stack=SpackStack(release, lock, Digest("sha256:" + "d" * 64), {}))


def binds(runner: FakeRunner) -> dict[str, str]:
    """Place inside to place on the host, of the last build."""
    words = [words for words in runner.ran if words[1:2] == ["build"]][-1]
    pairs = [after for word, after in pairwise(words) if word == "--bind"]
    return {bind.partition(":")[2]: bind.partition(":")[0] for bind in pairs}


def test_spack_and_its_recipes_are_bound_and_cannot_be_written(
    recipe: Recipe, runner: FakeRunner
) -> None:
    build(plan_build(recipe, REPORT), REPORT)
    places = list(binds(runner))
    assert places[2] == "/mnt", "the places first, then what is in them"
    assert set(places[3:]) == {
        "/mnt/spack:ro", "/mnt/packages:ro", "/mnt/mirror:ro", "/mnt/kept", "/mnt/index",
    }  # fmt: skip


def test_what_is_copied_in_is_where_the_definition_takes_it_from(
    recipe: Recipe, runner: FakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    run = runner.run

    def look(*argv: str | Path, **options: object) -> object:
        folder = options.get("cwd")
        if argv[1:2] == ("build",) and isinstance(folder, Path):
            seen.extend(
                path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
            )
        return run(*argv, **options)

    monkeypatch.setattr(runner, "run", look)
    build(plan_build(recipe, REPORT), REPORT)
    assert {
        "release/spack.yaml", "release/spack.lock", "release/sources.yaml",
        "release/overlay/spack_repo/esd/packages/nest/package.py", f"mirror/{SOURCE.place}",
    } <= set(seen)  # fmt: skip


def test_what_was_built_is_kept_for_the_next_build(recipe: Recipe, runner: FakeRunner) -> None:
    runner.build_fails = True
    runner.lines = [
        "==> Installing nest-3.10.0-6dbgxv5wbmmkhyktvu3nfx5y7iwpqfjm [9/9]",
        "==> nest: Executing phase: 'build'",
        "FATAL: no",
    ]
    with pytest.raises(ToolFailed, match=r"in the package nest-3.10.0, phase build") as caught:
        build(plan_build(recipe, REPORT), REPORT)
    assert f"go on from here: imagefactory image build {recipe.folder}" in str(caught.value)
    kept = binds(runner)["/mnt/kept"]
    runner.build_fails = False
    build(plan_build(recipe, REPORT), REPORT)
    assert binds(runner)["/mnt/kept"] == kept
    assert Path(kept).is_dir()
    assert str(ordinary_cache() / "building") not in kept


def test_a_build_from_nothing_takes_nothing_that_was_kept(
    recipe: Recipe, runner: FakeRunner
) -> None:
    plan = plan_build(recipe, REPORT)
    build(plan, REPORT)
    kept = binds(runner)["/mnt/kept"]
    rebuild(plan_build(recipe, REPORT), REPORT)
    assert binds(runner)["/mnt/kept"] != kept


def test_the_key_and_the_record_name_what_the_release_brings(recipe: Recipe) -> None:
    plan = plan_build(recipe, REPORT)
    assert {"lock", "overlay", "spack", "spack packages"} <= set(plan.key)
    assert build(plan, REPORT).sources == {"nest@3.8": str(SOURCE.digest)}
