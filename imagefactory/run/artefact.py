"""A job as files in a folder: what is posted, what is uploaded, and what one must know of both."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from imagefactory.base.files import digest_of, write_json, write_text
from imagefactory.run.description import Job, check_words


def write_job(job: Job, folder: Path, drawn: Mapping[str, Path] | None = None) -> list[Path]:
    """Write description.json, files/ and about.json; returns all of them. `drawn` is the network of
    a frozen run.

    The same run gives the same bytes every time. about.json has the schema's version, the image
    pinned by digest, and each file's sha256.
    """
    files = {**job.files, **(drawn or {})}
    written = [folder / "description.json", *write_files(files, folder / "files")]
    write_text(written[0], job.text)
    digests = {name: str(digest_of(folder / "files" / name)) for name in sorted(files)}
    write_json(folder / "about.json", job.about | {"files": digests})
    return [*written, folder / "about.json"]


def read_job(folder: Path) -> dict[str, Any]:
    """The description that `write_job` wrote into a folder, to be posted as it stands."""
    document = json.loads((folder / "description.json").read_text(encoding="utf-8"))
    check_words(document)
    return dict(document)


def read_files(folder: Path) -> dict[str, bytes]:
    """The files to upload that `write_job` wrote into a folder, by relative name."""
    files = folder / "files"
    return {
        str(path.relative_to(files)): path.read_bytes()
        for path in files.rglob("*")
        if path.is_file()
    }


def write_files(files: Mapping[str, str | Path], folder: Path) -> list[Path]:
    """Write the files to upload, under their relative names; returns them in order of the names."""
    for name, content in files.items():
        if isinstance(content, Path):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(content, folder / name)
        else:
            write_text(folder / name, content)
    return [folder / name for name in sorted(files)]
