"""The image's side, read from its files: which MPI, which PMIx client, which libraries. Pure.

Nothing of the image is run: what a library says of itself is in its bytes.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath

from imagefactory.launch.facts import ImageSide
from imagefactory.launch.sif import Entry

LABEL = "org.ebrains.imagefactory"
_LABELS = "/.singularity.d/labels.json"
# By the last part of a path: what is read. Names only; links are followed by their targets' names.
_READ = re.compile(
    r"lib(?:mpi|mpich|pmix|open-pal|stdc\+\+|hwloc|fabric)\.so(?:\.[\d.]+)?|libc\.so\.6|libc-2\.\d+\.so"
    r"|python3\.\d+|labels\.json|status|(?:pmix|openmpi)-mca-params\.conf|ucx\.pc|libfabric\.pc"
    r"|9\d-environment\.sh"
)
_PROVIDER = re.compile(r"lib([a-z0-9]+)-fi\.so")
_VERBS = re.compile(r"lib([a-z0-9]+)-rdmav\d+\.so")
_COMPONENT = re.compile(rb"\0(?:pmix_)?mca_(gds|psec|bfrops)_([a-z0-9]+)_component\0")
_PLUGGED = re.compile(r"(?:pmix_)?mca_(gds|psec|bfrops)_([a-z0-9]+)\.so")
_SPACK = re.compile(
    r"/linux-[^/]*?(x86_64(?:_v[234])?|[a-z0-9_]+)/(?:[^/]+/)?([a-z0-9-]+)-(\d[\w.]*)-[a-z0-9]{32}/"
)
_ISA = {1: "x86_64", 2: "x86_64_v2", 4: "x86_64_v3", 8: "x86_64_v4"}


def wanted(entries: Sequence[Entry]) -> list[str]:
    """The files whose bytes tell something; real files only."""
    return [
        entry.path
        for entry in entries
        if not entry.target
        and _READ.fullmatch(PurePosixPath(entry.path).name)
        and (not entry.path.endswith("/status") or entry.path == "/var/lib/dpkg/status")
        and "/share/doc/" not in entry.path
    ]


def read_image(
    entries: Sequence[Entry], contents: Mapping[str, bytes], architecture: str, size: int | None
) -> ImageSide:
    """The facts of an image with these files; `contents` holds those that `wanted` names."""
    names = [entry.path for entry in entries]
    packages = _packages(contents, names)
    mpi, version, protocols = _mpi(contents, names, packages)
    pmix = _libraries(contents, "libpmix.so") or _embedded(contents)
    cpu, source = _cpu(contents, names)
    settings = _parameters(contents)
    return ImageSide(
        architecture=architecture, size=size, mpi=mpi, mpi_version=version, protocols=protocols,
        pmix=_one(_pmix_version(text) for text in pmix),
        bfrops=_components(pmix, names, "bfrops"), gds=_components(pmix, names, "gds"),
        psec=_components(pmix, names, "psec"),
        gds_default=settings.get("gds", ""), psec_default=settings.get("psec", ""),
        cma_default=settings.get("btl_vader_single_copy_mechanism", ""),
        ucx=_library(names, packages, "libucp.so", "libucx0", "ucx", contents, "ucx.pc"),
        ofi=_library(names, packages, "libfabric.so", "libfabric1", "libfabric", contents,
                     "libfabric.pc"),
        ofi_providers=_named(names, _PROVIDER), verbs=_named(names, _VERBS),
        hwloc=_library(names, packages, "libhwloc.so", "libhwloc15", "hwloc"),
        glibc=_glibc(contents), libstdcxx=_libstdcxx(contents), python=_python(contents, names),
        cpu_target=cpu, cpu_source=source, cuda=_cuda(names),
    )  # fmt: skip


def _mpi(
    contents: Mapping[str, bytes], names: Sequence[str], packages: Mapping[str, str]
) -> tuple[str | None, str | None, tuple[str, ...] | None]:
    """Family, version and protocols; None for each where two families could both be meant."""
    found = set()
    for text in [*_libraries(contents, "libmpi.so"), *_libraries(contents, "libmpich.so")]:
        family = _family(text)
        if family is None:  # a stub for the linker, or a library that only has the name
            continue
        version = _mpi_version(text, family, packages)
        found.add((family, version, _protocols(text, family, version, names)))
    if not found:
        return "", "", ()
    return found.pop() if len(found) == 1 else (None, None, None)


def _family(text: bytes) -> str | None:
    if b"ParaStation" in text or b"libpscom" in text:
        return "ParaStationMPI"
    if b"Open MPI v" in text or b"ompi_mpi_comm_world" in text:
        return "Open MPI"
    if b"Intel(R) MPI Library" in text:
        return "Intel MPI"
    return "MPICH" if b"MPICH" in text else None


def _mpi_version(text: bytes, family: str | None, packages: Mapping[str, str]) -> str | None:
    if family == "Open MPI":
        return _search(text, rb"\0v(\d+\.\d+\.\d+\w*)\0") or _search(
            text, rb"Open MPI v(\d+\.\d+\.\d+\w*)"
        )
    if family == "ParaStationMPI":
        return packages.get("psmpi") or _search(text, rb"ParaStation\s?MPI\D{0,20}(\d+\.\d+\.\d+)")
    if family == "Intel MPI":
        return _search(text, rb"MPI Library (\d{4}[\d.]*)")
    known = packages.get("mpich") or packages.get("libmpich12")
    told = known or _search(text, rb"MPICH Version:\s*(\d+\.\d+[\w.]*)")
    return told or _only(text, rb"\0([345]\.\d+\.\d+)(?=\0)")


def _protocols(
    text: bytes, family: str | None, version: str | None, names: Sequence[str]
) -> tuple[str, ...] | None:
    linked = b"\0libpmix.so" in text
    if family == "Open MPI" and version:
        if int(version.partition(".")[0]) >= 5:
            return ("pmix",)
        plugged = {"s1": "pmi1", "s2": "pmi2"}
        files = [found[1] for name in names if (found := re.search(r"mca_pmix_(\w+)\.so$", name))]
        older = {plugged[word] for word in files if word in plugged}
        newer = linked or not files or any(word.startswith(("ext", "pmix")) for word in files)
        return tuple(sorted(older | ({"pmix"} if newer else set())))
    if family == "ParaStationMPI":
        return ("pmi1", "pmix") if linked else ("pmi1",)
    if family == "MPICH":
        return ("pmi1", "pmi2", "pmix") if linked else ("pmi1", "pmi2")
    return ("pmi1", "pmi2") if family == "Intel MPI" else None


def _libraries(contents: Mapping[str, bytes], name: str) -> list[bytes]:
    return [text for path, text in contents.items() if PurePosixPath(path).name.startswith(name)]


def _embedded(contents: Mapping[str, bytes]) -> list[bytes]:
    """Open MPI 4's own PMIx 3 is inside libopen-pal (3.5)."""
    return [text for text in _libraries(contents, "libopen-pal.so") if b"mca_gds_hash" in text]


def _pmix_version(text: bytes) -> str | None:
    told = _search(text, rb"OpenPMIx (\d+\.\d+\.\d+\w*)")
    return told or _only(text, rb"\0(3\.\d+\.\d+\w*)(?=\0)")


def _only(text: bytes, pattern: bytes) -> str | None:
    """What a pattern finds, where it finds one thing only."""
    found = set(re.findall(pattern, text))
    return found.pop().decode("ascii", "replace") if len(found) == 1 else None


def _components(
    libraries: Sequence[bytes], names: Sequence[str], kind: str
) -> tuple[str, ...] | None:
    if not libraries:
        return ()
    found = {
        word.decode()
        for text in libraries
        for of, word in _COMPONENT.findall(text.replace(b"\0", b"\0\0"))
        if of.decode() == kind
    }
    for name in names:
        plugged = _PLUGGED.fullmatch(PurePosixPath(name).name)
        if plugged and plugged[1] == kind:
            found.add(plugged[2])
    return tuple(sorted(found)) or None


def _parameters(contents: Mapping[str, bytes]) -> dict[str, str]:
    """What the libraries' parameter files and the image's own environment set."""
    found: dict[str, str] = {}
    for path, text in sorted(contents.items()):
        name = PurePosixPath(path).name
        words = text.decode("utf-8", "replace")
        if name.endswith("-mca-params.conf"):
            for key, value in re.findall(r"^\s*(\w+)\s*=\s*(\S+)", words, re.MULTILINE):
                found[key] = value
        elif name.endswith("-environment.sh"):
            pattern = r"^\s*export (?:PMIX|OMPI)_MCA_(\w+)=[\"']?([^\s\"']+)"
            for key, value in re.findall(pattern, words, re.MULTILINE):
                found[key] = value
    return found


def _packages(contents: Mapping[str, bytes], names: Sequence[str]) -> dict[str, str]:
    """Upstream versions by package: Debian's, and what Spack has installed, by its folders."""
    found: dict[str, str] = {}
    status = contents.get("/var/lib/dpkg/status", b"").decode("utf-8", "replace")
    for block in status.split("\n\n"):
        package = re.search(r"^Package: (\S+)$", block, re.MULTILINE)
        version = re.search(r"^Version: (?:\d+:)?([^-+~\s]+)", block, re.MULTILINE)
        if package and version:
            found[package[1]] = version[1]
    for name in names:
        spack = _SPACK.search(name)
        if spack:
            found[spack[2]] = spack[3]
    return found


def _library(
    names: Sequence[str],
    packages: Mapping[str, str],
    library: str,
    debian: str,
    spack: str,
    contents: Mapping[str, bytes] | None = None,
    config: str = "",
) -> str | None:
    """The version of a library: empty where it is not in the image, None where nothing tells."""
    if not any(PurePosixPath(name).name.startswith(library) for name in names):
        return ""
    for path, text in (contents or {}).items():
        if config and PurePosixPath(path).name == config:
            return _search(text, rb"Version:\s*(\d[\w.]*)")
    return packages.get(spack) or packages.get(debian)


def _named(names: Sequence[str], pattern: re.Pattern[str]) -> tuple[str, ...]:
    found = (pattern.match(PurePosixPath(name).name) for name in names)
    return tuple(sorted({match[1] for match in found if match}))


def _glibc(contents: Mapping[str, bytes]) -> str | None:
    texts = [*_libraries(contents, "libc.so.6"), *_libraries(contents, "libc-2.")]
    return _one(_search(text, rb"GNU C Library .*?version (\d+\.\d+)") for text in texts)


def _libstdcxx(contents: Mapping[str, bytes]) -> str | None:
    found = {
        int(number)
        for text in _libraries(contents, "libstdc++.so")
        for number in re.findall(rb"GLIBCXX_3\.4\.(\d+)\0", text)
    }
    return f"3.4.{max(found)}" if found else ""


def _python(contents: Mapping[str, bytes], names: Sequence[str]) -> str | None:
    programs = [path for path in names if re.search(r"/bin/python3(\.\d+)?$", path)]
    if not programs:
        return ""
    found = []
    for path, text in contents.items():
        series = re.search(r"/bin/python(3\.\d+)$", path)
        if series:
            pattern = rb"\0(" + re.escape(series[1].encode()) + rb"\.\d+)\+?\0"
            found.append(_search(text, pattern) or series[1])
    return _one(found)


def _cpu(contents: Mapping[str, bytes], names: Sequence[str]) -> tuple[str | None, str | None]:
    """The highest target that binaries, Spack's folders or the image's label name."""
    from imagefactory.launch.derived import level_of_target

    found: list[tuple[str, str]] = []
    for path, text in contents.items():
        level = needed_isa(text)
        if level:
            found.append((level, f"ELF note of {path}"))
    targets = {match[1]: name for name in names if (match := _SPACK.search(name))}
    found += [(target, f"Spack's folder of {name}") for target, name in targets.items()]
    label = re.search(
        rb'"' + LABEL.encode() + rb'\.cpu-target":\s*"([^"]+)"', contents.get(_LABELS, b"")
    )
    if label:
        found.append((label[1].decode(), "the image's label"))
    if not found:
        return None, None
    return max(found, key=lambda one: (level_of_target(one[0]) or 0, one[1] == "the image's label"))


def needed_isa(binary: bytes) -> str | None:
    """The x86-64 level that an ELF file's GNU property note asks for, or None.

    The note is an array of (type, size, data), in 8-byte steps; type 0xc0008002 holds the bits of
    GNU_PROPERTY_X86_ISA_1_NEEDED (x86-64 psABI, "Program Property").
    """
    if not binary.startswith(b"\x7fELF\x02\x01"):
        return None
    levels = 0
    for found in re.finditer(rb"\x04\0\0\0(.{4})\x05\0\0\0GNU\0", binary, re.DOTALL):
        (length,) = struct.unpack("<I", found[1])
        for kind, data in _properties(binary[found.end() : found.end() + min(length, 256)]):
            levels |= data if kind == 0xC0008002 else 0
    return _ISA[1 << (min(levels, 15).bit_length() - 1)] if levels else None


def _properties(note: bytes) -> Iterator[tuple[int, int]]:
    place = 0
    while place + 12 <= len(note):
        kind, size = struct.unpack_from("<II", note, place)
        if size == 4:
            yield kind, struct.unpack_from("<I", note, place + 8)[0]
        place += 8 + (size + 7) // 8 * 8


def _cuda(names: Sequence[str]) -> str:
    found = (re.search(r"/libcudart\.so\.(\d[\d.]*)$", name) for name in names)
    versions = {match[1] for match in found if match}
    return max(versions, key=len) if versions else ""


def _search(text: bytes, pattern: bytes) -> str | None:
    found = re.search(pattern, text)
    return found[1].decode("ascii", "replace") if found else None


def _one(values: Iterator[str | None] | list[str]) -> str | None:
    """The value where all agree; empty where there is none, None where they differ."""
    distinct = set(values)
    if not distinct:
        return ""
    return distinct.pop() if len(distinct) == 1 else None
