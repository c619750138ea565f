"""All rows of the symptom table, from samples; a log that is well raises nothing."""

from __future__ import annotations

import io
import random

import pytest

from imagefactory.launch.doctor import diagnose, loud_fault, silent_fault
from imagefactory.launch.reader import LONGEST_LINE, read_log, read_text
from imagefactory.launch.rules import Verdict
from imagefactory.launch.symptoms import Effect, shipped_symptoms
from tests.conftest import Golden
from tests.unit.launch.log_samples import SAMPLES, WELL

CASES = [(row, text) for row, texts in SAMPLES.items() for text in texts]
NAMES = [f"row-{row}-{number}" for row, texts in SAMPLES.items() for number in range(len(texts))]


def rows(text: str) -> list[int | None]:
    return [one.symptom.row for one in diagnose(read_text(text)).ailments]


def test_the_samples_are_of_all_rows() -> None:
    assert set(SAMPLES) == set(range(1, 39)) == {s.row for s in shipped_symptoms() if s.row}


@pytest.mark.parametrize(("row", "text"), CASES, ids=NAMES)
def test_every_row_is_recognised(row: int, text: str) -> None:
    assert set(rows(text)) == {row}


@pytest.mark.parametrize(("row", "text"), CASES, ids=NAMES)
def test_every_row_is_recognised_among_other_ranks(row: int, text: str) -> None:
    """As srun --label mixes the lines of several ranks."""
    mixed = "".join(
        f"{line if line[:2] in ('0:', '1:') else f'3: {line}'}\n7: progress {number}\n"
        for number, line in enumerate(text.splitlines())
    )
    assert set(rows(mixed)) == {row}


def test_a_log_that_is_well_raises_nothing() -> None:
    found = diagnose(read_text(WELL), fabric=True)
    assert found.ailments == ()
    assert found.verdict is Verdict.PASS
    assert len(found.lanes) == 6


def test_the_samples_all_in_one_log(golden: Golden) -> None:
    text = "".join(texts[0] for texts in SAMPLES.values())
    golden.check("launch/doctor.txt", "\n".join(diagnose(read_text(text)).lines()) + "\n")


def test_a_node_without_unpacking_tools_is_no_missing_image() -> None:
    found = diagnose(read_text(SAMPLES[38][-1]))
    assert [one.symptom.id for one in found.ailments] == ["no-unpacking-tools", "apptainer-failed"]


def test_one_rank_alone_is_no_finding() -> None:
    assert rows("Hello, rank 0 of 1\n") == []


@pytest.mark.parametrize(
    ("fabric", "verdict"), [(True, Verdict.FAIL), (None, Verdict.WARN), (False, Verdict.PASS)]
)
def test_tcp_between_nodes_matters_where_there_is_a_fabric(
    fabric: bool | None, verdict: Verdict
) -> None:
    found = diagnose(read_text(SAMPLES[27][1]), fabric)
    assert found.verdict is verdict
    silent = silent_fault(found)
    assert (silent.symptom.row if silent else None) == (27 if fabric else None)


def test_a_loud_end_is_told_by_what_stops_a_run() -> None:
    found = diagnose(read_text(SAMPLES[34][0] + SAMPLES[8][0] + SAMPLES[31][0]))
    fault = loud_fault(found)
    assert fault is not None
    assert fault.symptom.row == 31
    assert silent_fault(found) is None


def test_an_unknown_word_of_pmix_is_told_but_stops_nothing() -> None:
    found = diagnose(read_text("[c1:2] PMIX ERROR: NEW-WORD in file x.c at line 1\n"))
    assert [one.symptom.id for one in found.ailments] == ["pmix-error"]
    assert found.ailments[0].symptom.effect is Effect.NOISE


def test_binary_noise_and_escapes_are_read_and_never_shown() -> None:
    noise = random.Random(1).randbytes(300_000)  # noqa: S311
    line = b"\x1b[31mFATAL:   While \x00loading\xff\n"
    found = diagnose(read_log(io.BytesIO(noise + b"\n" + line + noise)))
    shown = [line for one in found.ailments for line in one.lines]
    assert [line.text for line in shown] == ["[31mFATAL:   While  loading\ufffd"]
    assert shown[0].number == noise.count(b"\n") + 2


def test_a_line_without_end_takes_no_memory() -> None:
    class Endless(io.RawIOBase):
        left = 4_000_000

        def read(self, size: int = -1) -> bytes:
            part = b"x" * min(size, self.left)
            self.left -= len(part)
            return part

    assert read_log(Endless()).bytes == 4_000_000  # type: ignore[arg-type]
    assert LONGEST_LINE < 100_000


def test_numbers_of_lines_are_right_across_portions() -> None:
    quiet = "an ordinary line of a program\n" * 20_000
    found = diagnose(read_text(quiet + SAMPLES[16][0] + quiet))
    assert found.ailments[0].lines[0].number == 20_001
    assert found.log_lines == 40_001


def test_a_wrapped_text_may_begin_in_an_earlier_portion() -> None:
    first, second = SAMPLES[17][0].splitlines(keepends=True)
    for quiet in range(2612, 2616):  # 100 bytes each: the portion ends about here
        assert rows(("q" * 99 + "\n") * quiet + first + second) == [17]


def test_a_rank_number_of_a_million_labels() -> None:
    text = "".join(f"{rank}: x\n" for rank in range(3000)) + "2999: FATAL:   While x\n"
    assert diagnose(read_text(text)).ailments[0].ranks == (2999,)
