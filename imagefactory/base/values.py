"""Words with rules: a digest cannot be a tag, a secret cannot be printed."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from imagefactory.base.errors import Fault, UsageFault

# The grammar of an OCI reference: opencontainers/distribution-spec v1.1, "Pulling manifests".
_HOST = re.compile(r"[A-Za-z0-9.-]+|\[[0-9a-fA-F:]+\]")
_REPOSITORY = re.compile(
    r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*"
)
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_EXAMPLE = "oras://registry.example.org/project/nest:3.10"


@dataclass(frozen=True)
class Digest:
    """A sha256 digest as OCI writes it: `sha256:` and 64 hexadecimal digits."""

    text: str

    def __post_init__(self) -> None:
        if not _DIGEST.fullmatch(self.text):
            raise UsageFault(
                f"{self.text!r} is no digest", fix="write sha256: and 64 hexadecimal digits"
            )

    @property
    def hex(self) -> str:
        return self.text.removeprefix("sha256:")

    @property
    def short(self) -> str:
        """The first 12 digits, for people."""
        return self.hex[:12]

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class ImageRef:
    """Where an image is in a registry: `oras://HOST[:PORT]/PROJECT/NAME:TAG` or `...@sha256:...`.

    Exactly one of `tag` and `digest` is set.
    """

    host: str
    port: int | None
    repository: str
    tag: str | None = None
    digest: Digest | None = None

    @classmethod
    def parse(cls, text: str) -> ImageRef:
        """Read a reference; raises UsageFault that lists all faults of the text."""
        rest = text.removeprefix("oras://")
        if rest == text:
            raise UsageFault("the reference does not begin with oras://", where=text, fix=_EXAMPLE)
        host_part, _, path = rest.partition("/")
        host, port, faults = _read_host(host_part, text)
        if "@" in path:
            repository, _, digest_text = path.partition("@")
            tag = None
            if not _DIGEST.fullmatch(digest_text):
                faults.append(
                    Fault(f"{digest_text!r} is no digest", text, "@sha256:<64 hex digits>")
                )
        else:
            repository, _, tag_text = path.partition(":")
            digest_text, tag = "", tag_text
            if not tag_text:
                faults.append(
                    Fault("the reference has no tag", text, f"add one: {text.rstrip(':')}:TAG")
                )
            elif not _TAG.fullmatch(tag_text):
                faults.append(
                    Fault(f"{tag_text!r} is no tag", text, "letters, digits, . _ -; at most 128")
                )
        faults += _repository_faults(repository, text)
        if faults:
            raise UsageFault.from_faults(faults)
        return cls(host, port, repository, tag, Digest(digest_text) if digest_text else None)

    @property
    def registry(self) -> str:
        """HOST or HOST:PORT."""
        return self.host if self.port is None else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """True where the registry is this machine: the only place where plain HTTP is spoken."""
        return self.host in {"localhost", "[::1]"} or bool(
            re.fullmatch(r"127(\.\d{1,3}){3}", self.host)
        )

    def at(self, digest: Digest) -> ImageRef:
        """The same repository, pinned to `digest`."""
        return replace(self, tag=None, digest=digest)

    def __str__(self) -> str:
        last = f"@{self.digest}" if self.digest else f":{self.tag}"
        return f"oras://{self.registry}/{self.repository}{last}"


def _read_host(part: str, text: str) -> tuple[str, int | None, list[Fault]]:
    host, colon, port = part.rpartition(":") if re.search(r":\d*$", part) else (part, "", "")
    faults = []
    if not _HOST.fullmatch(host):
        faults.append(Fault(f"{host!r} is no host name", text, _EXAMPLE))
    if colon and not (port.isdigit() and 0 < int(port) < 65536):
        faults.append(Fault(f"{port!r} is no port", text, "a number from 1 to 65535"))
    return host, int(port) if port.isdigit() else None, faults


def _repository_faults(repository: str, text: str) -> list[Fault]:
    if not repository:
        return [Fault("the reference names no image", text, _EXAMPLE)]
    if repository != repository.lower():
        return [
            Fault(
                "upper case is not allowed in an image name", text, f"write {repository.lower()!r}"
            )
        ]
    if not _REPOSITORY.fullmatch(repository):
        return [Fault(f"{repository!r} is no image name", text, _EXAMPLE)]
    return []


@dataclass(frozen=True, repr=False)
class Secret:
    """A password or token; it prints as hidden wherever it goes."""

    _text: str

    def reveal(self) -> str:
        """The text itself: call it on the line that sends it, nowhere else."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(hidden)"

    __str__ = __repr__
