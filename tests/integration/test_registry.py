"""Push and pull with a real registry, a real Apptainer and the oras client of others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from imagefactory.base.errors import ServiceAway, TrustRefused
from imagefactory.base.files import digest_of
from imagefactory.base.ordinary import ordinary_cache, ordinary_folder
from imagefactory.base.process import Runner
from imagefactory.base.report import Silent
from imagefactory.base.values import ImageRef
from imagefactory.registry import RegistryLocks, pull, push, resolve
from imagefactory.registry.manifest import MANIFEST_TYPE, digest_of_bytes

if TYPE_CHECKING:
    from imagefactory.image import Apptainer
    from imagefactory.sandbox import Sandbox


TOP = Path(__file__).parents[2]


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    """A folder that the ordinary user, who runs Apptainer, may use too."""
    return ordinary_folder(ordinary_cache() / "tests" / tmp_path.name)


def test_apptainer_pulls_what_we_pushed(
    pushed_ref: ImageRef, nest_sif: Path, apptainer: Apptainer, scratch: Path
) -> None:
    target = scratch / "by-apptainer.sif"
    apptainer.runner.run(
        apptainer.program, "pull", "--force", "--disable-cache", target, str(pushed_ref),
        timeout=300, cwd=scratch,
    )  # fmt: skip
    assert digest_of(target) == digest_of(nest_sif)
    target.unlink()


def test_the_oras_client_pulls_what_we_pushed(
    pushed_ref: ImageRef, nest_sif: Path, tmp_path: Path
) -> None:
    from oras.client import OrasClient

    client = OrasClient(hostname=pushed_ref.registry, insecure=True)
    target = str(pushed_ref).removeprefix("oras://")
    (found,) = client.pull(target=target, outdir=str(tmp_path))
    assert digest_of(Path(found)) == digest_of(nest_sif)


def test_we_pull_what_apptainer_pushed_and_the_manifest_is_the_same_bytes(
    pushed_ref: ImageRef,
    nest_sif: Path,
    apptainer: Apptainer,
    sandbox: Sandbox,
    tmp_path: Path,
    report: Silent,
) -> None:
    ref = ImageRef.parse(f"oras://{sandbox.registry}/by-apptainer/nest:1")
    apptainer.runner.run(apptainer.program, "push", nest_sif, str(ref), timeout=300, cwd=Path("/"))
    artifact = pull(ref, tmp_path / "pulled.sif", report)
    assert digest_of(tmp_path / "pulled.sif") == digest_of(nest_sif)
    assert artifact.manifest == resolve(pushed_ref, report).manifest


def test_the_registry_itself_agrees_on_the_digest(pushed_ref: ImageRef, report: Silent) -> None:
    artifact = resolve(pushed_ref, report)
    url = f"http://{pushed_ref.registry}/v2/{pushed_ref.repository}/manifests/{pushed_ref.tag}"
    answer = httpx.get(url, headers={"Accept": MANIFEST_TYPE})
    assert answer.headers["Docker-Content-Digest"] == str(artifact.manifest)
    assert digest_of_bytes(answer.content) == artifact.manifest


def test_a_blob_altered_in_the_registry_is_refused(
    nest_sif: Path, sandbox: Sandbox, tmp_path: Path, report: Silent
) -> None:
    """Bytes of its own, so that no other test meets the damage."""
    own = tmp_path / "own.sif"
    own.write_bytes(nest_sif.read_bytes() + b"own")
    ref = ImageRef.parse(f"oras://{sandbox.registry}/tests/damaged:1")
    layer = push(own, ref, report).layer
    folder = f"/var/lib/registry/docker/registry/v2/blobs/sha256/{layer.hex[:2]}/{layer.hex}"
    script = f"printf X | dd of={folder}/data bs=1 seek=100 conv=notrunc"
    Runner(report).run(
        "docker", "-H", sandbox.engine, "exec", f"{sandbox.prefix}-registry", "sh", "-c", script,
        timeout=60,
    )  # fmt: skip
    with pytest.raises(TrustRefused, match="altered or damaged"):
        pull(ref, tmp_path / "got.sif", report)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["own.sif"]


def test_locks_are_kept_by_their_key(sandbox: Sandbox, report: Silent) -> None:
    text = (TOP / "spack-envs" / "esd-25.04" / "spack.lock").read_text()
    locks = RegistryLocks(f"oras://{sandbox.registry}/tests/locks", report)
    key = digest_of_bytes(text.encode())
    locks.put(key, text)
    locks.put(key, text)
    assert locks.get(key) == text
    assert locks.get(digest_of_bytes(b"another key")) is None
    with pytest.raises(TrustRefused):  # a lock is no image
        resolve(ImageRef.parse(f"oras://{sandbox.registry}/tests/locks:{key.hex}"), report)
    with pytest.raises(ServiceAway):
        RegistryLocks("oras://127.0.0.1:9/tests/locks", report).get(key)
