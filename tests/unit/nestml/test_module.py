"""A module on disk: read back, checked, and used with its own image only."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from imagefactory.base.errors import ConfigurationFault, TrustRefused, UsageFault
from imagefactory.base.files import digest_of_text
from imagefactory.base.values import Digest
from imagefactory.nestml import Module, read_module, require_fit
from tests.unit.nestml.conftest import IMAGE

OTHER = Digest("sha256:" + "cd" * 32)


def test_read_back_by_folder_record_and_file(make_record: Callable[..., Module]) -> None:
    module = make_record()
    for place in (module.folder, module.folder / "module.json", module.path):
        assert read_module(place) == module


def test_none_there(tmp_path: Path) -> None:
    with pytest.raises(UsageFault, match="no module"):
        read_module(tmp_path)


def test_an_altered_module_is_refused(make_record: Callable[..., Module]) -> None:
    module = make_record()
    module.path.write_bytes(b"other")
    with pytest.raises(TrustRefused, match="not the one of its record"):
        read_module(module.folder)
    module.path.unlink()
    with pytest.raises(TrustRefused):
        read_module(module.folder)


def test_altered_code_is_refused_where_there_is_nothing_else(
    make_record: Callable[..., Module],
) -> None:
    said = {"neuron.h": str(digest_of_text("int x;"))}
    code = make_record(target="spinnaker", compiled=False, file=None, sha256=None, generated=said)
    header = code.folder / "code" / "neuron.h"
    header.parent.mkdir()
    header.write_text("int x;")
    assert read_module(code.folder) == code
    header.write_text("int y;")
    with pytest.raises(TrustRefused, match=r"neuron\.h"):
        read_module(code.folder)


def test_a_record_cannot_name_a_file_elsewhere(make_record: Callable[..., Module]) -> None:
    module = make_record()
    record = module.folder / "module.json"
    record.write_text(record.read_text().replace("tinymodule.so", "../tinymodule.so"))
    with pytest.raises(ConfigurationFault):
        read_module(module.folder)


def test_it_fits_its_image_and_no_other(make_record: Callable[..., Module]) -> None:
    module = make_record()
    require_fit(module, IMAGE, "tiny_neuron")
    with pytest.raises(UsageFault) as caught:
        require_fit(module, OTHER, "another_neuron")
    assert "is for the image sha256:abab" in caught.value.faults[0].what
    assert "model build" in caught.value.faults[0].fix
    assert "'another_neuron'; the module has tiny_neuron" in caught.value.faults[1].what


def test_code_for_spinnaker_is_no_module_for_nest(make_record: Callable[..., Module]) -> None:
    code = make_record(target="spinnaker", compiled=False, file=None, sha256=None)
    assert read_module(code.folder) == code
    with pytest.raises(UsageFault, match="code for spinnaker"):
        require_fit(code, IMAGE, "tiny_neuron")
