"""Drift: the paper's board, and what a place that nobody saw means."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from imagefactory.base.errors import ConfigurationFault, NoVerdict, UsageFault
from imagefactory.release.drift import (
    BoardFormat,
    Sighting,
    make_board,
    read_places,
    read_probe,
    show_board,
)

if TYPE_CHECKING:
    from tests.conftest import Golden

PLACES = Path(__file__).parents[3] / "spack-envs" / "places.yaml"
PROBE = """\
Welcome to JUSUF!
imagefactory-probe\t1
host\tebrains-24.04
module\tebrains/23.09
module\tebrains/24.10
"""


@pytest.mark.parametrize("form", list(BoardFormat))
def test_the_board_of_the_paper(form: BoardFormat, golden: Golden) -> None:
    board = make_board(read_places(PLACES))
    assert not board.in_step
    golden.check(f"release/board.{form.value}.txt", show_board(board, form) + "\n")


def seen(place: str, release: str | None) -> Sighting:
    return Sighting(place, release, "reported", "x", "2026")


def test_in_step_only_if_all_were_seen() -> None:
    assert make_board([seen("a", "esd-25.04"), seen("b", "esd-25.04")]).in_step
    assert not make_board([seen("a", "esd-25.04"), seen("b", None)]).in_step
    assert not make_board([seen("a", "esd-25.04")], "esd-25.10").in_step
    states = make_board([seen("a", "esd-25.10"), seen("b", None)], "esd-25.04").rows
    assert [row.state for row in states] == ["ahead", "unknown"]


@pytest.mark.parametrize("sightings", [[], [seen("a", None)]])
def test_no_data_is_no_verdict(sightings: list[Sighting]) -> None:
    with pytest.raises(NoVerdict):
        make_board(sightings)


def test_what_a_probe_saw() -> None:
    found = read_probe(PROBE, "JUSUF", "2026-11-23")
    assert [one.release for one in found] == ["esd-23.09", "esd-24.10"]
    row = make_board(found).rows[0]
    assert (row.sighting.release, row.sighting.evidence) == ("esd-24.10", "measured")
    assert row.sighting.source == "module ebrains/24.10"


@pytest.mark.parametrize(
    ("line", "release"),
    [
        ("kernel\tEBRAINS-25.04", "esd-25.04"),
        ("spack\t/srv/main-spack-instance-2504/x", "esd-25.04"),
        ("image\tsha256-1234.sif esd-25.10", "esd-25.10"),
        ("image\tsha256-1234.sif unknown", None),
        ("kernel\tEBRAINS-experimental", None),
        ("module\tebrains/25.041", None),
    ],
)
def test_the_names_of_a_release(line: str, release: str | None) -> None:
    found = read_probe(f"imagefactory-probe\t1\n{line}\n", "Lab", "2026")
    assert [one.release for one in found] == [release]


def test_an_error_page_is_no_probe() -> None:
    with pytest.raises(UsageFault, match="not what the probe prints"):
        read_probe("<html>log in</html>", "JUSUF", "2026")


def test_all_faults_of_a_places_file(tmp_path: Path) -> None:
    path = tmp_path / "places.yaml"
    path.write_text(
        "schema: 1\nplaces:\n- {place: a, release: '25.04', source: x, date: '2026'}\n- {plac: b}\n"
    )
    with pytest.raises(ConfigurationFault) as caught:
        read_places(path)
    assert len(caught.value.faults) == 5
