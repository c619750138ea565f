"""What is read in an image's files; bytes as the real libraries have them."""

from __future__ import annotations

import random
import struct
from dataclasses import replace
from pathlib import Path

import pytest

from imagefactory.base.errors import ConfigurationFault, ToolFailed
from imagefactory.launch.image_facts import needed_isa, read_image, wanted
from imagefactory.launch.lookup import side_from, text_of_side
from imagefactory.launch.sif import Entry, parse_listing, partition_of
from tests.conftest import Golden
from tests.unit.launch.samples import NEST

LIB = "/usr/lib/x86_64-linux-gnu"
STATUS = """Package: libucx0
Version: 1.13.1-1

Package: libfabric1
Version: 1:1.17.0-3

Package: mpich
Version: 4.0.2-3
"""
OPEN_MPI = b"\x7fELF\0Open MPI v%d.%d.%d\0v4.1.4\0libpmix.so.2\0"
PMIX = (
    b"OpenPMIx 4.2.2rc2 (PMIx Standard: 4.2)\0pmix_mca_gds_hash_component\0"
    b"pmix_mca_gds_ds12_component\0pmix_mca_psec_native_component\0pmix_mca_bfrops_v4_component\0"
)
DEBIAN = {
    f"{LIB}/libmpi.so.40.30.4": OPEN_MPI,
    f"{LIB}/pmix2/lib/libpmix.so.2.6.2": PMIX,
    f"{LIB}/openmpi/lib/openmpi3/mca_pmix_ext3x.so": b"",
    f"{LIB}/libucp.so.0.0.0": b"",
    f"{LIB}/libfabric.so.1.20.0": b"",
    f"{LIB}/libibverbs/libmlx5-rdmav34.so": b"",
    f"{LIB}/libc.so.6": b"GNU C Library (Debian GLIBC 2.36-9) stable release version 2.36.\n",
    f"{LIB}/libstdc++.so.6.0.30": b"GLIBCXX_3.4.9\0GLIBCXX_3.4.30\0GLIBCXX_3.4.4\0",
    "/usr/bin/python3.11": b"\x00" + b"3.11.2\x00",
    "/var/lib/dpkg/status": STATUS.encode(),
    "/etc/openmpi/openmpi-mca-params.conf": (
        b"# a comment = 1\nbtl_vader_single_copy_mechanism = none\n"
    ),
    f"{LIB}/pmix2/share/pmix-mca-params.conf": b"\ngds = hash\npsec = native\n",
    "/.singularity.d/labels.json": b'{"org.ebrains.imagefactory.cpu-target": "x86-64"}',
}  # fmt: skip


def entries(files: dict[str, bytes]) -> list[Entry]:
    return [Entry(path, len(text)) for path, text in files.items()]


def read(files: dict[str, bytes]) -> dict[str, object]:
    chosen = wanted(entries(files))
    side = read_image(entries(files), {path: files[path] for path in chosen}, "amd64", 1)
    return vars(side)


def test_debian_with_open_mpi() -> None:
    found = read(DEBIAN)
    expected = {
        "mpi": "Open MPI", "mpi_version": "4.1.4", "protocols": ("pmix",), "pmix": "4.2.2rc2",
        "gds": ("ds12", "hash"), "psec": ("native",), "bfrops": ("v4",), "gds_default": "hash",
        "psec_default": "native", "cma_default": "none", "ucx": "1.13.1", "ofi": "1.17.0",
        "verbs": ("mlx5",), "glibc": "2.36", "libstdcxx": "3.4.30", "python": "3.11.2",
        "cpu_target": "x86-64", "cuda": "", "hwloc": "",
    }  # fmt: skip
    assert {name: found[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"/lib/libmpich.so.12": b"MPICH Version:      4.1\0"}, ("MPICH", "4.1", ("pmi1", "pmi2"))),
        (
            {
                "/lib/libmpich.so.12": b"MPICH Version: 4.2.3\0libpmix.so.2\0".replace(
                    b"l", b"\0l", 1
                )
            },
            ("MPICH", "4.2.3", ("pmi1", "pmi2", "pmix")),
        ),
        (
            {"/opt/lib/libmpi.so.12": b"ParaStation MPI 5.12.1\0libpscom.so\0libpmix.so.2\0"},
            ("ParaStationMPI", "5.12.1", ("pmi1", "pmix")),
        ),
        (
            {"/opt/lib/libmpi.so.12": b"Intel(R) MPI Library 2021.10\0"},
            ("Intel MPI", "2021.10", ("pmi1", "pmi2")),
        ),
        (
            {"/lib/libmpi.so.40": b"Open MPI v5.0.7, package: x\0"},
            ("Open MPI", "5.0.7", ("pmix",)),
        ),
        (
            {
                "/lib/libmpi.so.40": b"Open MPI v4.0.3, package: x\0",
                "/lib/openmpi/mca_pmix_s2.so": b"",
                "/lib/openmpi/mca_pmix_pmix3x.so": b"",
            },
            ("Open MPI", "4.0.3", ("pmi2", "pmix")),
        ),
        ({}, ("", "", ())),
    ],
)
def test_families(files: dict[str, bytes], expected: tuple[object, ...]) -> None:
    found = read(files)
    assert (found["mpi"], found["mpi_version"], found["protocols"]) == expected


def test_two_families_are_no_answer() -> None:
    found = read({"/a/libmpi.so.40": OPEN_MPI, "/b/libmpi.so.12": b"MPICH Version: 4.1\0"})
    assert (found["mpi"], found["protocols"]) == (None, None)


def test_two_versions_of_pmix_are_no_answer() -> None:
    found = read({"/a/libpmix.so.2": PMIX, "/b/libpmix.so.2": PMIX.replace(b"4.2.2", b"5.0.8")})
    assert found["pmix"] is None


def test_open_mpi_4_with_its_own_pmix() -> None:
    inner = b"\x003.2.5a1\x00mca_gds_hash_component\0mca_psec_native_component\0"
    found = read({"/l/libmpi.so.40": OPEN_MPI[:-13], "/l/libopen-pal.so.40": inner})
    assert (found["pmix"], found["gds"], found["psec"]) == ("3.2.5a1", ("hash",), ("native",))
    other = read({"/l/libpmix.so.2": PMIX, "/l/libopen-pal.so.40": inner})
    assert other["pmix"] == "4.2.2rc2", "its own is not used where there is another"


def test_components_that_are_files_of_their_own() -> None:
    files = {"/l/libpmix.so.2": b"OpenPMIx 3.2.5 \0", "/l/pmix/mca_psec_munge.so": b""}
    assert read(files)["psec"] == ("munge",)


def test_a_foreign_image_of_spack() -> None:
    root = "/spack/opt/linux-ubuntu22.04-zen2/gcc-12.3.0"
    hash_ = "abcdefghijklmnopqrstuvwxyz234567"
    found = read({f"{root}/ucx-1.16.0-{hash_}/lib/libucp.so.0": b""})
    assert (found["ucx"], found["cpu_target"]) == ("1.16.0", "zen2")
    flat = f"/opt/release/software/linux-x86_64_v3/ucx-1.15.0-{hash_}/lib/libucp.so.0"
    found = read({flat: b""})
    assert (found["ucx"], found["cpu_target"]) == ("1.15.0", "x86_64_v3")


def test_an_empty_image_without_labels_or_python() -> None:
    found = read({"/bin/sh": b""})
    assert found["python"] == ""
    assert found["cpu_target"] is None
    assert found["glibc"] == ""


def elf(bits: int) -> bytes:
    data = struct.pack("<III4x", 0xC0008002, 4, bits)
    return b"\x7fELF\x02\x01" + struct.pack("<III4s", 4, len(data), 5, b"GNU\0") + data


@pytest.mark.parametrize(
    ("bits", "level"),
    [(1, "x86_64"), (3, "x86_64_v2"), (7, "x86_64_v3"), (15, "x86_64_v4"), (0, None)],
)
def test_the_instructions_that_a_binary_asks_for(bits: int, level: str | None) -> None:
    assert needed_isa(elf(bits)) == level
    assert needed_isa(b"#!/bin/sh") is None
    assert needed_isa(elf(bits)[:-6]) is None, "cut"


def test_a_binary_that_needs_more_than_the_label_says() -> None:
    found = read({**DEBIAN, "/usr/bin/python3.11": elf(7) + b"\x003.11.2\x00"})
    assert found["cpu_target"] == "x86_64_v3"
    assert "python3.11" in str(found["cpu_source"])


def test_the_list_of_unsquashfs() -> None:
    text = (
        "drwxr-xr-x root/root     39 2026-01-01 00:00 squashfs-root/etc\n"
        "lrwxrwxrwx root/root     10 2023-04-09 10:22 squashfs-root/usr/bin/python3 -> python3.11\n"
        "-rwxr-xr-x 1000/1000   6809 2026-01-01 00:00 squashfs-root/a -> b\n"
        "crw-rw-rw- root/root  1,  3 2026-01-01 00:00 squashfs-root/dev/null\n"
        "noise\n"
    )
    assert parse_listing(text) == [
        Entry("/usr/bin/python3", 10, "python3.11"),
        Entry("/a -> b", 6809),
    ]


def sif(*descriptors: bytes, magic: bytes = b"SIF_MAGIC\0", arch: bytes = b"02\0") -> bytes:
    head = struct.pack(
        "<32s10s3s3s3x13s8q", b"#!", magic, b"01\0", arch, b"",
        0, 0, 0, len(descriptors), 128, 585 * len(descriptors), 0, 0,
    )  # fmt: skip
    return head.ljust(128, b"\0")[:128] + b"".join(descriptors) + b"data"


def partition(kind: int = 0x4004, system: int = 1, role: int = 2, code: bytes = b"04\0") -> bytes:
    extra = struct.pack("<ii3s", system, role, code)
    return struct.pack("<i?III3q4q128s384s", kind, True, 1, 1, 0, 900, 4, 4, 0, 0, 0, 0, b"", extra)


def test_the_partition_of_another_architecture(tmp_path: Path) -> None:
    path = tmp_path / "x.sif"
    path.write_bytes(sif(partition(kind=0x4001), partition()))
    found = partition_of(path)
    assert (found.offset, found.architecture) == (900, "arm64")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (sif(magic=b"NO_MAGIC__"), "no SIF"),
        (b"", "no SIF"),
        (sif(partition(system=4)), "encrypted"),
        (sif(partition(system=2)), "no squashfs"),
        (sif(partition(role=3)), "no root file system"),
        (sif(), "no root file system"),
        (bytes(range(256)) * 8, "no SIF"),
    ],
)
def test_what_is_no_image(content: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / "x.sif"
    path.write_bytes(content)
    with pytest.raises((ConfigurationFault, ToolFailed)) as caught:
        partition_of(path)
    assert says in str(caught.value)


def test_facts_as_text_and_back() -> None:
    assert side_from(text_of_side(NEST), "here") == NEST


@pytest.mark.parametrize("text", ["", "[]", '{"schema": 1, "facts": {"mpi": 3}}', '{"schema": 9}'])
def test_facts_that_are_damaged(text: str) -> None:
    with pytest.raises(ConfigurationFault):
        side_from(text, "here")


def test_bytes_without_sense_never_end_the_reader() -> None:
    dice = random.Random(6)  # noqa: S311 - no secret is made of it
    for _ in range(60):
        files = {path: text + dice.randbytes(dice.randrange(400)) for path, text in DEBIAN.items()}
        victim = dice.choice(sorted(files))
        files[victim] = dice.randbytes(dice.randrange(3000))
        found = read(files)
        assert found["mpi"] in {"Open MPI", "", None}
        assert found["architecture"] == "amd64"


def test_facts_for_people(golden: Golden) -> None:
    lines = replace(NEST, hwloc=None, verbs=()).lines()
    golden.check("launch/image-facts.txt", "\n".join(lines) + "\n")
