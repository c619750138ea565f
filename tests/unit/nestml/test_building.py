"""A module is made once for the same inputs; what goes wrong leaves none."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from imagefactory.base.errors import ConfigurationFault, ToolFailed, UsageFault
from imagefactory.base.report import Silent
from imagefactory.base.values import Digest
from imagefactory.nestml import (
    Module,
    ModulePlan,
    Target,
    build_module,
    building,
    plan_module,
    read_module,
)
from imagefactory.nestml.tools import sections
from imagefactory.nestml.versions import shipped_tools
from tests.conftest import Golden
from tests.unit.nestml.conftest import IMAGE, FakeTools

REPORT = Silent()


def no_sif() -> Path:
    pytest.fail("the tools image is there: the image itself is not needed")


def plan(source: Path, target: Target = Target.NEST, image: Digest = IMAGE) -> ModulePlan:
    return plan_module(source, target, image, REPORT)


def make(source: Path, target: Target = Target.NEST) -> Module:
    return build_module(plan(source, target), no_sif, REPORT)


def test_the_tools_image(golden: Golden) -> None:
    golden.check("nestml/tools.def", sections(shipped_tools()))


def test_a_module_and_its_record(source: Path, tools: FakeTools) -> None:
    module = make(source)
    assert read_module(module.folder) == module
    assert module.path.read_bytes() == b"module"
    assert module.models == ("tiny_neuron",)
    assert module.versions == tools.versions
    assert module.image == str(IMAGE)
    assert set(module.generated) == {"code.cpp"}
    assert (module.folder / "log.txt").is_file()


def test_it_is_made_without_a_network_and_sees_one_folder(source: Path, tools: FakeTools) -> None:
    make(source)
    for words in tools.ran:
        assert "--containall" in words
        assert words[words.index("--network") + 1] == "none"
        assert words.count("--bind") == 1
    assert "PYTHONPATH=/opt/nestml-8.3.0:/opt/nestml:$PYTHONPATH" in tools.ran[0][-1]


def test_all_that_the_image_reads_is_the_ordinary_users(
    source: Path, tools: FakeTools, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With root's umask of 077 the script could not be read."""
    given: list[str] = []
    monkeypatch.setattr(building, "give", lambda path: given.append(path.name))
    make(source)
    assert {"make_module.py", "job.json", source.name} <= set(given)


def test_made_once_for_the_same_inputs(source: Path, tools: FakeTools) -> None:
    first = make(source)
    asked = len(tools.ran)
    assert plan(source).lines()[0].startswith("nothing to do")
    assert make(source) == first
    assert len(tools.ran) == asked


def test_another_text_image_or_target_is_another_module(source: Path, tools: FakeTools) -> None:
    keys = {plan(source).folder, plan(source, Target.SPINNAKER).folder}
    keys.add(plan(source, image=Digest("sha256:" + "cd" * 32)).folder)
    source.write_text(source.read_text() + "# more\n")
    keys.add(plan(source).folder)
    assert len(keys) == 4


def test_an_altered_module_is_made_again(source: Path, tools: FakeTools) -> None:
    first = make(source)
    first.path.write_bytes(b"other")
    report = Silent()
    again = build_module(plan_module(source, Target.NEST, IMAGE, report), no_sif, report)
    assert again.path.read_bytes() == b"module"
    assert "made again" in report.warnings[0]


def test_a_model_with_errors(source: Path, tools: FakeTools) -> None:
    said = {"level": "ERROR", "line": 2, "column": 4, "text": "no such thing"}
    tools.made = {"right": False, "messages": [said]}
    planned = plan(source)
    with pytest.raises(ConfigurationFault, match=r"tiny\.nestml:2:4: NESTML: no such thing"):
        build_module(planned, no_sif, REPORT)
    assert not planned.folder.exists()


def test_a_compiler_that_fails_leaves_its_log(source: Path, tools: FakeTools) -> None:
    tools.fails = True
    planned = plan(source)
    with pytest.raises(ToolFailed, match="making tinymodule failed") as caught:
        build_module(planned, no_sif, REPORT)
    assert "no such header" in caught.value.detail
    log = Path(caught.value.faults[0].fix.rpartition(": ")[2])
    assert log.read_text() == "what was said\n"
    assert not planned.folder.exists()


def test_a_program_that_does_not_start_has_no_log(
    source: Path, tools: FakeTools, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*_: object, **__: object) -> None:
        raise ToolFailed("the program 'apptainer' is not installed")

    monkeypatch.setattr(tools, "run", run)
    with pytest.raises(ToolFailed, match="is not installed"):
        make(source)


def test_a_full_disk_is_told_before_anything_is_made(
    source: Path, tools: FakeTools, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1_000_000))
    with pytest.raises(ToolFailed, match="the disk is too full"):
        make(source)
    assert not tools.ran


def test_an_old_nestml_and_a_new_nest(source: Path, tools: FakeTools) -> None:
    tools.versions["nestml"] = "8.2.0"
    planned = plan_module(source, Target.NEST, IMAGE, REPORT, nestml="8.2.0")
    assert any("NEST is older than 3.10" in line for line in planned.lines())
    assert not any("older than" in line for line in plan(source).lines())
    with pytest.raises(UsageFault, match=r"NEST 3\.10\.0"):
        build_module(planned, no_sif, REPORT)
    assert len(tools.ran) == 1, "nothing was generated"


def test_a_tools_image_with_other_versions(source: Path, tools: FakeTools) -> None:
    tools.versions["odetoolbox"] = "3.0.0"
    with pytest.raises(ConfigurationFault, match=r"ODE-toolbox 3\.0\.0, not"):
        make(source)


def test_spinnaker_is_generated_only_and_says_so(source: Path, tools: FakeTools) -> None:
    tools.versions = {"nestml": "8.2.0", "odetoolbox": "2.5.12"}
    tools.made = {"right": True, "messages": []}
    assert any("compile nothing" in line for line in plan(source, Target.SPINNAKER).lines())
    code = make(source, target=Target.SPINNAKER)
    assert not code.compiled
    assert code.file is None
    with pytest.raises(UsageFault, match="no module for NEST"):
        code.path  # noqa: B018 - that it raises is what is tested
