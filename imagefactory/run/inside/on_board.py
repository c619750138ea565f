"""imagefactory run @RUN@: one program with its network in it; the provider names the system.

`python run.py SYSTEM`, where SYSTEM is spiNNaker, or spinnaker-emulated where no board takes part.
Leaves imagefactory-output.tar, and says in the log how long it is and what its sha256 is.
"""

import base64
import hashlib
import importlib.metadata
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

RUN = "@RUN@"
PARCEL = r"""@PARCEL@"""
NAME = "imagefactory-output.tar"
SYSTEMS = ("spiNNaker", "spinnaker-emulated")
STACK = ("sPyNNaker", "SpiNNFrontEndCommon", "SpiNNMan", "SpiNNMachine", "PyNN")
# All that the emulation needs of PyNN, where PyNN is not installed.
HOLDER = "class Sequence:\n    def __init__(self, value):\n        self.value = value\n"


def say(text):
    """One line of the job's log."""
    print("imagefactory: " + text, flush=True)


def unpack(folder, system):
    """Put the run's files into `folder`, with the system as the backend."""
    with zipfile.ZipFile(io.BytesIO(base64.b85decode(PARCEL))) as archive:
        archive.extractall(folder)  # noqa: S202  our own, and zipfile lets no name climb out
    path = folder / "parameters.json"
    job = json.loads(path.read_text(encoding="utf-8"))
    job["backend"] = system
    path.write_text(json.dumps(job), encoding="utf-8")


def environment(folder, system):
    """Ours, with the holder in place of PyNN for the emulation that has none."""
    found = dict(os.environ)
    try:
        importlib.metadata.version("PyNN")
    except importlib.metadata.PackageNotFoundError:
        if system == "spinnaker-emulated":
            (folder / "holder" / "pyNN").mkdir(parents=True)
            (folder / "holder" / "pyNN" / "__init__.py").write_text("")
            (folder / "holder" / "pyNN" / "parameters.py").write_text(HOLDER)
            found["PYTHONPATH"] = str(folder / "holder")
    return found


def versions(system):
    """What simulated; "unknown" where the package does not say."""
    if system != "spiNNaker":
        return {"spynnaker": "none: emulated"}
    found = {}
    for name in STACK:
        try:
            found[name.lower()] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name.lower()] = "unknown"
    return found


def pack(folder, system):
    """Add the versions to the rank's file, pack the output, say what it is."""
    for path in (folder / "output").glob("rank-*.json"):
        seen = json.loads(path.read_text(encoding="utf-8"))
        seen["versions"] = {**seen.get("versions", {}), **versions(system)}
        path.write_text(json.dumps(seen), encoding="utf-8")
    with tarfile.open(NAME, "w") as archive:
        for path in sorted((folder / "output").rglob("*")):
            if path.is_file():
                archive.add(path, arcname=str(path.relative_to(folder / "output")))
    content = Path(NAME).read_bytes()
    say(f"output {len(content)} sha256:{hashlib.sha256(content).hexdigest()}")


def main():
    system = sys.argv[1] if len(sys.argv) > 1 else ""
    say(f"run {RUN}, system {system or 'none'}")
    if system not in SYSTEMS:
        say("this program knows the systems " + " and ".join(SYSTEMS))
        return 2
    folder = Path("imagefactory-run").absolute()
    unpack(folder, system)
    words = [sys.executable, "inside/start.py", "parameters.json"]
    status = subprocess.run(words, cwd=str(folder), env=environment(folder, system)).returncode
    (folder / "output").mkdir(exist_ok=True)
    pack(folder, system)
    shutil.rmtree(str(folder))  # or it would be served as output, too
    return status


if __name__ == "__main__":
    sys.exit(main())
