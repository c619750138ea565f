"""What changed between two locks: each kind, several nodes of one name, the rebuild set."""

from __future__ import annotations

import json

import pytest

from imagefactory.release.diff import Change, Kind, LockDiff, diff_locks
from imagefactory.release.lock import parse_lock
from tests.unit.release.locks import Made, Use, by, document, external, lock, node, spack_hash

GCC = external("gcc@12.2.0")


def stack(
    zlib: str | Made = "zlib@1.3.1", mpi: str = "openmpi@5.0.8", gcc: Made = GCC
) -> list[Made]:
    """nest <- mpi <- hwloc, nest <- zlib."""
    mpi_node = node(mpi, by(gcc), node("hwloc@2.11", by(gcc, "c")))
    zlib_node = node(zlib, by(gcc, "c")) if isinstance(zlib, str) else zlib
    return [node("nest@3.8", by(gcc), Use(mpi_node, virtuals=("mpi",)), zlib_node)]


def compare(old: list[Made], new: list[Made]) -> LockDiff:
    return diff_locks(lock(*old), lock(*new))


def told(diff: LockDiff) -> list[tuple[str, str]]:
    return [(one.name, str(one.kind)) for one in diff.changes]


def rebuilt(diff: LockDiff) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    return {one.name: (tuple(map(str, one.own)), one.because) for one in diff.rebuilds}


def test_nothing_changed() -> None:
    diff = compare(stack(), stack())
    assert not diff.changes
    assert not diff.rebuilds
    assert diff.kept == 5


def test_an_upgrade_and_what_follows_from_it() -> None:
    diff = compare(stack(), stack(zlib="zlib@1.4"))
    assert told(diff) == [("zlib", "upgraded")]
    assert rebuilt(diff) == {"nest": ((), ("zlib@1.4",)), "zlib": (("upgraded",), ())}
    assert diff.kept == 3


def test_a_downgrade() -> None:
    assert told(compare(stack(zlib="zlib@1.4"), stack(zlib="zlib@1.4rc1"))) == [
        ("zlib", "downgraded")
    ]


def test_versions_without_an_order() -> None:
    commits = [stack(zlib="zlib@" + letter * 40) for letter in "ab"]
    assert told(compare(*commits)) == [("zlib", "other version")]
    assert told(compare(stack(zlib="zlib@1.3-1"), stack(zlib="zlib@1.3.1"))) == [
        ("zlib", "other version")
    ]


@pytest.mark.parametrize(
    ("change", "kind", "old", "new"),
    [
        ({"variants": {"pic": True}}, "variants", "", "+pic"),
        ({"package_hash": "another===="}, "recipe", "zlib1.3", "another"),
        ({"namespace": "esd"}, "recipe", "builtin", "esd"),
        (
            {"arch": {"platform": "linux", "platform_os": "debian12", "target": "zen2"}},
            "target", "linux-debian12-x86_64_v3", "linux-debian12-zen2",
        ),
        (
            {"external": {"path": "/opt", "module": ["zlib/1"]}},
            "external", "built by Spack", "external /opt, zlib/1",
        ),
    ],
)  # fmt: skip
def test_one_change_of_each_kind(change: dict[str, object], kind: str, old: str, new: str) -> None:
    diff = compare(stack(), stack(zlib=node("zlib@1.3.1", by(GCC, "c"), **change)))
    assert told(diff) == [("zlib", kind)]
    first = diff.changes[0].differences[0]
    assert (first.old, first.new) == (old, new)
    assert len(diff.changes[0].differences) == 1


def test_attributes_of_an_external() -> None:
    place = {"path": "/usr", "module": None, "extra_attributes": {"environment": {"A": "1"}}}
    other = node("zlib@1.3.1", external=place)
    diff = compare(stack(zlib=external("zlib@1.3.1")), stack(zlib=other))
    assert told(diff) == [("zlib", "external")]
    assert rebuilt(diff) == {"nest": ((), ("zlib@1.3.1",))}


def test_what_spack_hashes_and_we_do_not_show() -> None:
    target = {"name": "x86_64_v3", "features": ["avx2"]}
    arch = {"platform": "linux", "platform_os": "debian12", "target": target}
    diff = compare(stack(), stack(zlib=node("zlib@1.3.1", by(GCC, "c"), arch=arch)))
    assert told(diff) == [("zlib", "details")]


def test_another_compiler_is_every_package_s_own_change() -> None:
    diff = compare(stack(), stack(gcc=external("gcc@13.3.0")))
    assert told(diff)[0] == ("gcc", "upgraded")
    assert {name for name, kind in told(diff) if kind == "compiler"} == {
        "nest", "zlib", "openmpi", "hwloc",
    }  # fmt: skip
    differences = next(one.differences for one in diff.changes if one.name == "nest")
    assert [(one.what, one.old, one.new) for one in differences] == [
        ("c, cxx", "gcc@12.2.0", "gcc@13.3.0")
    ]
    assert "gcc" not in rebuilt(diff), "an external is not built"


def test_another_mpi() -> None:
    diff = compare(stack(), stack(mpi="mpich@4.3.2"))
    assert told(diff) == [
        ("mpich", "added"), ("openmpi", "removed"), ("nest", "dependencies"),
    ]  # fmt: skip
    assert [one.interface for one in diff.changes] == [True, True, False]
    texts = {one.what: (one.old, one.new) for one in diff.changes[2].differences}
    assert texts["mpich"][0] == ""
    assert texts["mpich"][1].endswith("(build, link as mpi)")
    assert texts["openmpi"][1] == ""
    assert rebuilt(diff)["mpich"] == (("added",), ())


def test_an_unknown_mpi_is_known_by_what_it_serves_as() -> None:
    diff = compare(stack(mpi="newmpi@1"), stack(mpi="newmpi@2"))
    assert [(one.name, one.interface) for one in diff.changes] == [("newmpi", True)]


def test_a_dependency_used_for_something_else() -> None:
    tool = node("cmake@3.30")
    old = node("nest@3.8", Use(tool, ("build",)))
    new = node("nest@3.8", Use(tool, ("build", "run")))
    diff = compare([old], [new])
    assert told(diff) == [("nest", "dependencies")]
    assert diff.changes[0].differences[0].new == "build, run"


def test_several_differences_of_one_package_are_all_told() -> None:
    new = node("zlib@1.4", by(GCC, "c"), variants={"pic": True})
    change = compare(stack(), stack(zlib=new)).changes[0]
    assert change.kind is Kind.UPGRADED
    assert [one.kind for one in change.differences] == [Kind.UPGRADED, Kind.VARIANTS]


def test_the_nearest_causes_are_named_interfaces_first() -> None:
    """d <- c <- (a, hwloc): d follows from both; what lies between is no cause."""

    def build(a: str, hwloc: str) -> list[Made]:
        middle = node("c@1", node(a), node(hwloc))
        return [node("d@1", middle)]

    diff = compare(build("a@1", "hwloc@2"), build("a@2", "hwloc@3"))
    assert rebuilt(diff)["d"] == ((), ("hwloc@3", "a@2"))
    assert rebuilt(diff)["c"] == ((), ("hwloc@3", "a@2"))


def test_two_nodes_of_one_name_are_paired_by_what_they_are_made_with() -> None:
    clang = external("llvm@18.1.0")

    def build(first: str, second: str) -> list[Made]:
        one = node(first, by(GCC, "c"))
        other = node(second, by(clang, "c"))
        return [node("nest@3.8", by(GCC), one), node("arbor@0.9", by(clang), other)]

    # By the version alone, 1.3 would be the other one's upgrade.
    diff = compare(build("zlib@1.2", "zlib@1.3"), build("zlib@1.3", "zlib@1.4"))
    assert [(one.old and one.old.version, one.new and one.new.version) for one in diff.changes] == [
        ("1.2", "1.3"), ("1.3", "1.4"),
    ]  # fmt: skip


def test_a_python_for_building_is_not_the_one_that_is_used() -> None:
    def build(tool: str, own: str) -> list[Made]:
        meson = node("meson@1.5", Use(node(tool), ("run",)))
        return [node("nest@3.8", Use(meson, ("build",)), Use(node(own), ("link", "run")))]

    diff = compare(build("python@3.9.1", "python@3.11.7"), build("python@3.9.1", "python@3.12.1"))
    changes = [
        (one.name, one.old and one.old.version, one.new and one.new.version) for one in diff.changes
    ]
    assert changes == [("python", "3.11.7", "3.12.1")]


def test_strangers_of_one_name_are_not_paired() -> None:
    """The Python of a tool that is gone did not become that of a root that is new."""
    kept = node("nest@3.8", node("python@3.11.7"))
    old = [kept, node("meson@1.5", node("python@3.9.1"))]
    new = [kept, node("elephant@1.1", node("python@3.13.0"))]
    assert ("python", "added") in told(compare(old, new))
    assert ("python", "removed") in told(compare(old, new))


def test_nodes_that_differ_only_further_down_are_paired_through_their_dependencies() -> None:
    def build(blas: str) -> list[Made]:
        deep = [node("core@1", node(name)) for name in (blas, "netlib@3")]
        return [node("top@1", node("math@1", one), variants={"n": str(index)})
                for index, one in enumerate(deep)]  # fmt: skip

    diff = compare(build("openblas@0.3"), build("openblas@0.4"))
    assert told(diff) == [("openblas", "upgraded")]
    assert set(rebuilt(diff)) == {"openblas", "core", "math", "top"}
    assert diff.kept == 4


def test_a_package_that_takes_another_node_that_was_there_before() -> None:
    low, high = node("python@3.9.1"), node("python@3.11.7")
    roots = [node("keep-low@1", low), node("keep-high@1", high)]
    diff = compare([*roots, node("nest@3.8", low)], [*roots, node("nest@3.8", high)])
    assert told(diff) == [("nest", "dependencies")]
    difference = diff.changes[0].differences[0]
    assert difference.old.startswith("python@3.9.1/")
    assert difference.new.startswith("python@3.11.7/")


def test_a_lock_of_format_5_against_one_of_format_6() -> None:
    content = {
        "name": "zlib",
        "version": "1.3.1",
        "arch": {"platform": "linux", "platform_os": "debian12", "target": "x86_64_v3"},
        "compiler": {"name": "gcc", "version": "12.2.0"},
        "namespace": "builtin",
        "parameters": {"build_system": "generic"},
        "package_hash": "zlib1.3.1====",
    }
    text = json.dumps(document(Made(content, spack_hash(content)), number=5))
    diff = diff_locks(parse_lock(text, "old"), lock(node("zlib@1.3.1", by(GCC, "c"))))
    assert told(diff) == [("gcc", "added")]
    assert rebuilt(diff) == {"zlib": ((), ("gcc@12.2.0",))}


def test_another_build_of_the_same_dependency() -> None:
    """Both builds of zlib were there before: the package only moved from one to the other."""
    plain, fast = node("zlib@1.3.1"), node("zlib@1.3.1", variants={"opt": True})
    roots = [node("keep-plain@1", plain), node("keep-fast@1", fast)]
    diff = compare([*roots, node("nest@3.8", plain)], [*roots, node("nest@3.8", fast)])
    assert told(diff) == [("nest", "other build")]
    assert diff.changes[0].differences[0].new == f"zlib@1.3.1/{fast.hash[:7]}"


def test_a_runtime_that_was_there_before_is_told_of_where_nothing_else_is() -> None:
    low, high = node("glibc@2.31"), node("glibc@2.36")
    roots = [node("keep-low@1", low), node("keep-high@1", high)]
    diff = compare([*roots, node("nest@3.8", low)], [*roots, node("nest@3.8", high)])
    assert told(diff) == [("nest", "dependencies")]


def test_roots_that_are_asked_for_differently() -> None:
    def asked(spec: str, made: Made) -> str:
        whole = document(made)
        whole["roots"][0]["spec"] = spec
        return json.dumps(whole)

    old = parse_lock(asked("nest@3.8", node("nest@3.8")), "old")
    new = parse_lock(asked("nest@3.9", node("nest@3.9")), "new")
    assert [(one.old, one.new) for one in diff_locks(old, new).roots] == [("nest@3.8", "nest@3.9")]
    gone = parse_lock(asked("arbor", node("arbor@1")), "new")
    assert [(one.old, one.new) for one in diff_locks(old, gone).roots] == [
        (None, "arbor"), ("nest@3.8", None),
    ]  # fmt: skip
    assert not diff_locks(old, old).roots


def test_turned_around_the_diff_is_the_other_way_round() -> None:
    old, new = stack(), stack(zlib="zlib@1.4", mpi="mpich@4.3.2")
    there, back = compare(old, new), compare(new, old)
    turned = {Kind.ADDED: Kind.REMOVED, Kind.REMOVED: Kind.ADDED, Kind.UPGRADED: Kind.DOWNGRADED}

    def ends(changes: tuple[Change, ...]) -> set[tuple[str, Kind]]:
        return {(one.name, one.kind) for one in changes}

    assert {(name, turned.get(kind, kind)) for name, kind in ends(there.changes)} == ends(
        back.changes
    )
