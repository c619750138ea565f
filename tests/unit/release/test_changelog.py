"""What people read of locks: a changelog as text and markdown, and `show`."""

from __future__ import annotations

from imagefactory.release.changelog import Format, changelog
from imagefactory.release.diff import diff_locks
from imagefactory.release.lock import Lock
from imagefactory.release.summary import summarize
from tests.conftest import Golden
from tests.unit.release.locks import Made, Use, by, external, lock, node


def simulation(release: str) -> Lock:
    """Something of every kind changes between the two releases."""
    new = release == "25.04"
    gcc = external("gcc@13.3.0" if new else "gcc@12.2.0")
    zlib = node("zlib-ng@2.2.4", by(gcc, "c"))
    python = node("python@3.11.7", by(gcc, "c"), zlib, variants={"ssl": True})
    pmix = node("pmix@5.0.8" if new else "pmix@4.2.9", by(gcc, "c"))
    prrte = [node("prrte@3.0.11", by(gcc, "c"), pmix)] if new else []
    mpi = node("openmpi@5.0.8" if new else "openmpi@4.1.8", by(gcc), pmix, *prrte)
    gsl = node("gsl@2.8", by(gcc, "c"), package_hash="newrecipe====" if new else "oldrecipe====")
    use = Use(mpi, virtuals=("mpi",))
    variants = {"modelset": "full", "openmp": True, "music": False} if new else {
        "modelset": "full", "openmp": False}  # fmt: skip
    nest = node("nest@3.8" if new else "nest@3.6", by(gcc), gsl, python, use, variants=variants)
    numpy = node("py-numpy@1.26.4" if new else "py-numpy@2.0.2", python)
    # The Python that a tool brings along is another one.
    tool = node("meson@1.5.1", Use(node("python@3.9.18"), ("run",)))
    neo = node("py-neo@0.13.4", numpy, Use(tool, ("build",)))
    roots = [nest, neo, node("py-nestml@8.0.0", numpy) if new else node("py-lazyarray@0.5", numpy)]
    return lock(*roots)


OLD, NEW = simulation("24.10"), simulation("25.04")
NAMES = ("esd-24.10", "esd-25.04")


def test_the_changelog_as_text(golden: Golden) -> None:
    golden.check("release/diff.txt", changelog(diff_locks(OLD, NEW, NAMES)) + "\n")


def test_the_changelog_as_markdown(golden: Golden) -> None:
    text = changelog(diff_locks(OLD, NEW, NAMES), Format.MARKDOWN)
    golden.check("release/diff.md", text + "\n")


def test_nothing_changed(golden: Golden) -> None:
    golden.check("release/diff-same.txt", changelog(diff_locks(NEW, NEW, NAMES)) + "\n")


def test_interfaces_stand_before_everything_else() -> None:
    lines = changelog(diff_locks(OLD, NEW, NAMES)).splitlines()
    positions = [next(i for i, line in enumerate(lines) if line.strip().startswith(name))
                 for name in ("openmpi", "nest ", "gsl")]  # fmt: skip
    assert positions == sorted(positions)


def test_show(golden: Golden) -> None:
    golden.check("release/show.txt", "\n".join(summarize(NEW).lines()) + "\n")


def with_mpi(mpi: Made, *others: Made) -> Lock:
    return lock(node("nest@3.8", Use(mpi, ("build", "link"), ("mpi",)), *others))


def test_an_external_mpi_does_not_say_its_pmix() -> None:
    found = summarize(with_mpi(external("openmpi@4.1.4")))
    assert found.mpi == ("openmpi@4.1.4 (external)",)
    assert found.pmix == ("unknown (the external MPI does not say)",)
    assert ("PMIx", "unknown (the external MPI does not say)") in found.facts()
    beside = summarize(with_mpi(external("openmpi@4.1.4"), node("pmix@5.0.8")))
    assert beside.pmix == ("5.0.8", "unknown (the external MPI does not say)")


def test_an_mpi_of_spack_without_pmix_has_none() -> None:
    found = summarize(with_mpi(node("mpich@4.3.2")))
    assert found.pmix == ()
    assert ("PMIx", "none") in found.facts()


def test_the_python_of_a_tool_is_not_the_python_of_the_release() -> None:
    assert summarize(NEW).python == ("3.11.7",)


def test_a_lock_without_any_of_it() -> None:
    facts = dict(summarize(lock(node("zlib@1.3"))).facts())
    assert (facts["MPI"], facts["PMIx"], facts["Python"], facts["compiler"]) == ("none",) * 4
