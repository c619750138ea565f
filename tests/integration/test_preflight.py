"""From probe to verdict on the sandbox's real sites, and the verdict against what happens."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from imagefactory.base.report import Silent
from imagefactory.base.values import ImageRef
from imagefactory.launch import (
    GUARD,
    Launch,
    Probed,
    Verdict,
    check_launch,
    make_launch_line,
    preflight,
    probe_site,
    push_with_facts,
    read_sif,
    side_of,
)
from imagefactory.launch.confusion import Outcome, Row, counts, read_outcome, watched
from imagefactory.launch.lookup import known_image
from imagefactory.run import open_shell
from imagefactory.site import load_site

if TYPE_CHECKING:
    from imagefactory.sandbox import Sandbox

SITES = {"bookworm": "4.2", "trixie": "5.0"}
HELLO = GUARD.parent / "hello.py"
WRONG = {
    "nothing": Launch("pmix", "sharens"),
    "cleanenv": Launch("pmix", "sharens", ("--cleanenv",)),
    "network": Launch("pmix", "sharens", ("--net", "--network", "none")),
    "pmi2": Launch("pmi2", "sharens"),
}


@pytest.fixture(scope="module", params=sorted(SITES))
def probed(
    request: pytest.FixtureRequest, sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Probed]:
    """A site that was asked; the probe is kept in settings of the tests' own."""
    assert sandbox.sites
    patch = pytest.MonkeyPatch()
    patch.setenv("IMAGEFACTORY_SETTINGS", str(tmp_path_factory.mktemp("settings")))
    site = load_site(request.param)
    with open_shell(site.access, Silent()) as shell:
        yield probe_site(site, shell)
    patch.undo()


@pytest.fixture(scope="module")
def reference(nest_sif: Path, sandbox: Sandbox) -> str:
    ref = ImageRef.parse(f"oras://{sandbox.registry}/tests/preflight:1")
    push_with_facts(nest_sif, ref, Silent())
    return str(ref)


def test_our_image_is_read_without_running_it(nest_sif: Path) -> None:
    side = read_sif(nest_sif, Silent())
    assert (side.mpi, side.mpi_version, side.protocols) == ("Open MPI", "4.1.4", ("pmix",))
    assert str(side.pmix).startswith("4.2.2")
    assert (side.gds_default, side.psec_default, side.cma_default) == ("hash", "native", "none")
    assert (side.architecture, side.glibc, side.python) == ("amd64", "2.36", "3.11.2")


def test_the_probe_of_a_real_site(probed: Probed) -> None:
    facts = probed.record.facts
    assert str(facts.pmix).startswith(SITES[probed.record.site])
    assert facts.launcher == "slurm"
    assert facts.one_parent is True
    assert facts.setuid is False
    assert facts.plugins is not None
    assert "pmix" in facts.plugins
    assert "sharens: true" in probed.draft
    assert set(probed.record.unknown) <= {"ptrace_scope", "cma", "server_tmpdir_seen"}


def test_a_check_of_a_tag_needs_no_pull(probed: Probed, reference: str) -> None:
    result = check_launch(reference, probed.record.site, Silent())
    assert result.verdict in {Verdict.PASS, Verdict.WARN}
    assert not result.of(Verdict.UNKNOWN)


def test_what_was_said_is_what_happens(probed: Probed, reference: str, nest_sif: Path) -> None:
    site, rows = load_site(probed.record.site), []
    side, known = read_sif(nest_sif, Silent()), side_of(site)
    with open_shell(site.access, Silent()) as shell:
        folder = f"{site.work}/preflight"
        pull = f'mkdir -p {folder}; test -e {folder}/x.sif || "$1" pull {folder}/x.sif "$2"'
        done = shell.run(pull, site.apptainer, reference, timeout=300)
        assert done.status == 0, done.tail
        for name, launch in WRONG.items():
            said = preflight(side, known, launch).verdict
            happened = start(shell, site.apptainer, launch, folder)
            rows.append(Row(site.name, "nest", name, said, (), happened))
        shell.run(f"rm -rf {folder}", timeout=60)
    assert counts(rows) == {"right": len(WRONG), "WRONG": 0, "unknown": 0}, rows
    assert watched(rows)["WRONG"] == 0, rows


def start(shell: object, apptainer: str, launch: Launch, folder: str) -> Outcome:
    """Two ranks with this launch line, wrong or right."""
    words = ["srun", f"--mpi={launch.plugin}", "--nodes=1", "--ntasks=2", "--kill-on-bad-exit=1"]
    words += [apptainer, "exec", "--sharens", *launch.options, "--bind", f"{folder}:{folder}"]
    words += [f"{folder}/x.sif", "python3", f"{folder}/hello.py", "libmpi.so.40"]
    script = (
        f"cat >{folder}/hello.py <<'END'\n{HELLO.read_text('utf-8')}END\n"
        f"cat >{folder}/guard.py <<'END'\n{GUARD.read_text('utf-8')}END\n"
        f"cd {folder}; timeout 30 {shlex.join(words)} 2>&1"
    )
    done = shell.run(script, timeout=120)  # type: ignore[attr-defined]
    return read_outcome(done.output, 2, done.status, {"sharing": "sharens", "mpi": "4.1.4"})


def test_the_line_of_a_probed_site(probed: Probed, nest_sif: Path) -> None:
    site = load_site(probed.record.site)
    made = make_launch_line(
        read_sif(nest_sif, Silent()), site, side_of(site), "x.sif", ["true"], ranks=4, nodes=2
    )
    assert "--sharens" in made.argv
    assert preflight(read_sif(nest_sif, Silent()), side_of(site), made.launch).verdict is not (
        Verdict.FAIL
    )


def test_facts_are_read_once(nest_sif: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from imagefactory.base.files import digest_of
    from imagefactory.launch import lookup

    digest = digest_of(nest_sif)
    first = known_image(digest, 1, Silent(), sif=nest_sif)
    monkeypatch.setattr(lookup, "read_sif", lambda *_: pytest.fail("read again"))
    assert known_image(digest, 1, Silent(), sif=nest_sif) == first
