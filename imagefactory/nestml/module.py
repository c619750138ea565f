"""A built module: its file, and the record beside it that says what it is of."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from imagefactory.base.errors import Fault, TrustRefused, UsageFault
from imagefactory.base.files import digest_of, write_json
from imagefactory.base.settings import load_schema, read_json
from imagefactory.base.values import Digest

SCHEMA = 1
FILE = "module.json"
CODE = Path("code")  # what NESTML generated


@dataclass(frozen=True)
class Module:
    """What was made of a NESTML file, and of what and with what.

    `image` is the sha256 of the SIF that a module for NEST fits, and no other. `file` is its name
    in `folder`, `sha256` its digest; both None where code was generated only.
    """

    name: str
    target: str
    models: tuple[str, ...]
    source: dict[str, str]  # file, sha256
    image: str
    versions: dict[str, str]  # nestml, odetoolbox, nest, ...
    key: dict[str, str]  # every input
    generated: dict[str, str]  # file to sha256
    compiled: bool
    seconds: float
    file: str | None = None
    sha256: str | None = None
    compiler: str | None = None
    flags: str | None = None
    needs: tuple[str, ...] = ()
    undefined_symbols: int = 0
    warnings: tuple[str, ...] = ()
    folder: Path = Path()

    @property
    def path(self) -> Path:
        """The module itself, for NEST."""
        if self.file is None:
            raise UsageFault("this is no module for NEST", where=str(self.folder))
        return self.folder / self.file


def write_module(module: Module) -> None:
    """Write the record into the module's folder."""
    document = {"schema": SCHEMA, **asdict(module)}
    del document["folder"]
    write_json(module.folder / FILE, document)


def read_module(place: Path) -> Module:
    """Read a module by its folder, its record or its file, and check the file's digest; where there
    is code alone, the digests of that.

    Raises UsageFault where there is none, ConfigurationFault for a damaged record, TrustRefused
    where a file is not the one of the record.
    """
    folder = place if place.is_dir() else place.parent
    if not (folder / FILE).is_file():
        raise UsageFault(
            "there is no module", where=str(place),
            fix="imagefactory model build FILE.nestml --target nest --image IMAGE",
        )  # fmt: skip
    schema = load_schema("imagefactory.nestml", "module.schema.json")
    document: dict[str, Any] = read_json(folder / FILE, schema)
    document.pop("schema")
    for name in ("models", "needs", "warnings"):
        document[name] = tuple(document.get(name, ()))
    module = Module(**document, folder=folder)
    told = {CODE / name: digest for name, digest in module.generated.items()}
    if module.file is not None:
        told = {Path(module.file): str(module.sha256)}
    for relative, expected in told.items():
        path = folder / relative
        if not path.is_file() or str(digest_of(path)) != expected:
            raise TrustRefused(
                "the module is not the one of its record", where=str(path),
                fix="build it again: imagefactory model build",
            )  # fmt: skip
    return module


def require_fit(module: Module, image: Digest, neuron: str) -> None:
    """Raise UsageFault, with all faults, unless the module is for this image and has the neuron."""
    where = str(module.folder)
    faults = []
    if module.target != "nest" or module.file is None:
        faults.append(Fault(f"this is code for {module.target}, no module for NEST", where))
    elif module.image != str(image):
        faults.append(
            Fault(
                f"the module is for the image {module.image[:19]}, not for {str(image)[:19]}",
                where,
                "imagefactory model build FILE.nestml --target nest --image IMAGE",
            )
        )
    if neuron not in module.models:
        has = ", ".join(module.models) or "none"
        faults.append(Fault(f"the model needs the neuron {neuron!r}; the module has {has}", where))
    if faults:
        raise UsageFault.from_faults(faults)
