"""What the resources of rest/core and rest/registries show, key by key as recorded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from imagefactory.sandbox.unicore.description import APPLICATIONS, Partition
from imagefactory.sandbox.unicore.jobs import Job, consumed
from imagefactory.sandbox.unicore.login import FileFacts
from imagefactory.sandbox.unicore.wire import iso, now

Document = dict[str, Any]
VERSION = "11.1.0"  # the one whose replies were recorded
SERVER_DN = "CN=imagefactory UNICORE double,O=sandbox"
CA_DN = "CN=imagefactory sandbox CA,O=sandbox"
FACTORY = "default_target_system_factory"
STORAGE_FACTORY = "default_storage_factory"
COLLECTIONS = (
    "storages", "client-server-transfers", "reservations", "transfers", "jobs", "factories",
    "sites", "storagefactories", "tasks",
)  # fmt: skip
_FACTORY_KINDS = {"StorageFactory": f"storagefactories/{STORAGE_FACTORY}",
                  "TargetSystemFactory": f"factories/{FACTORY}"}  # fmt: skip


@dataclass(frozen=True)
class Caller:
    """Who asks. `role` is user or anonymous; `method` None: no credentials were given.

    `may_renew`: it may have a token of the server's own.
    """

    dn: str
    role: str
    uid: str = ""
    group: str = ""
    method: str | None = None
    name: str = ""
    may_renew: bool = True

    @property
    def is_user(self) -> bool:
        return self.role == "user"

    def document(self) -> Document:
        """The key `client`."""
        role: Document = {"selected": self.role}
        login: Document = {}
        if self.method is not None:
            role["availableRoles"] = [self.role]
        if self.is_user:
            login = {
                "UID": self.uid,
                "availableGroups": [self.group],
                "availableUIDs": [self.uid],
                "group": self.group,
            }
        found: Document = {"role": role, "dn": self.dn, "xlogin": login}
        if self.method is not None:
            found["authenticationMethod"] = self.method
        return found


ANONYMOUS = Caller("CN=ANONYMOUS,O=UNKNOWN,OU=UNKNOWN", "anonymous")


@dataclass(frozen=True)
class SiteFace:
    """What a site says of itself: its name, its address, and since when it is up."""

    name: str
    base: str
    issuer: str
    since: datetime
    expires: datetime

    @property
    def core(self) -> str:
        return f"{self.base}/{self.name}/rest/core"

    def document(self) -> Document:
        """The key `server`."""
        return {
            "currentTime": iso(now()),
            "jobSubmission": {"message": "", "enabled": True},
            "credential": {"expires": iso(self.expires), "dn": SERVER_DN, "issuer": CA_DN},
            "upSince": iso(self.since),
            "externalConnections": {f"OIDC Server {self.issuer}": "OK", "TSI 1": "OK"},
            "trustedCAs": [CA_DN],
            "siteName": self.name,
            "version": VERSION,
            "trustedSAMLIssuers": [],
        }


def core_document(face: SiteFace, caller: Caller) -> Document:
    """GET rest/core"""
    links = {name: {"href": f"{face.core}/{name}"} for name in COLLECTIONS}
    return {"server": face.document(), "_links": links, "client": caller.document()}


def registries_document(face: SiteFace, caller: Caller) -> Document:
    """GET rest/registries"""
    base = f"{face.base}/{face.name}/rest/registries"
    server = face.document()
    del server["jobSubmission"]
    return {
        "server": server,
        "_links": {"self": {"href": f"{base}/?offset=0&num=200"}},
        "client": caller.document(),
        "registries": [f"{base}/default_registry"],
    }


def registry_document(face: SiteFace, sites: Sequence[SiteFace], certificate: str) -> Document:
    """GET rest/registries/default_registry: three services for each site."""
    entries: list[Document] = []
    for site in sites:
        entries.append(
            {
                "ServerIdentity": SERVER_DN,
                "EntryID": f"{site.name}-core",
                "InterfaceNamespace": "https://www.unicore.eu/rest",
                "href": site.core,
                "type": "CoreServices",
                "ServerPublicKey": certificate,
            }
        )
        entries += [
            {
                "ServerIdentity": SERVER_DN,
                "EntryID": f"{site.name}-{kind}",
                "href": f"{site.core}/{path}",
                "type": kind,
            }
            for kind, path in _FACTORY_KINDS.items()
        ]
    own = f"{face.base}/{face.name}/rest/registries/default_registry"
    return {
        "owner": SERVER_DN,
        "entries": entries,
        "_links": {"self": {"href": own}},
        "acl": [],
        "tags": [],
    }


def list_document(base: str, name: str, urls: Sequence[str], offset: int, count: int) -> Document:
    """A page of a collection, with links to the next and the previous one."""
    page = f"{base}/{name}/"
    links = {"self": {"href": f"{page}?offset={offset}&num={count}"}}
    if offset + count < len(urls):
        batch = min(count, len(urls) - count)
        links["next"] = {"href": f"{page}?offset={offset + count}&num={batch}"}
    if offset > 0:
        links["previous"] = {"href": f"{page}?offset={max(offset - count, 0)}&num={count}"}
    return {"_links": links, name: list(urls[offset : offset + count])}


def factory_document(face: SiteFace, partition: Partition) -> Document:
    """GET factories/default_target_system_factory"""
    own = f"{face.core}/factories/{FACTORY}"
    return {
        "owner": SERVER_DN,
        "otherInfo": {},
        "supportsReservation": "true",
        "remainingComputeTime": {
            "__CURRENT_PROJECT__": {"rel": "-1%", "units": "core-h", "remaining": "-1"}
        },
        "_links": {
            "self": {"href": own},
            "sites": {"href": f"{face.core}/sites"},
            "applications": {"href": f"{own}/applications"},
        },
        "siteName": face.name,
        "resources": {partition.name: partition.document()},
        "acl": [],
        "tags": [],
        "applications": [f"{name}---v{version}" for name, version in APPLICATIONS],
    }


def job_document(face: SiteFace, job: Job) -> Document:
    """GET jobs/ID. A job that was not looked at yet has neither name nor type."""
    found: Document = {
        "owner": job.owner.short_dn,
        "submissionPreferences": {},
        "log": list(job.log),
        "_links": _job_links(face, job.id),
        "consumedTime": consumed(job),
        "acl": [],
        "submissionTime": iso(job.submitted),
        "statusMessage": job.message,
        "tags": list(job.tags),
        "batchSystemID": job.batch_id or "N/A",
        "terminationTime": iso(job.termination) if job.termination else "N/A",
        "name": job.work.name if job.work else "N/A",
        "jobType": "n/a",
        "queue": job.queue or "N/A",
        "status": job.status,
    }
    if job.work:
        found["jobType"] = "BATCH" if job.work.kind == "RAW" else job.work.kind
    if job.exit_code is not None:
        found["exitCode"] = str(job.exit_code)
    return found


def storage_document(face: SiteFace, key: str, mount: str, free: int, job: Job | None) -> Document:
    """GET storages/ID: the folder of `job`, or a storage of the site."""
    own = f"{face.core}/storages/{key}"
    words = {
        "action:rename": ("actions/rename", "Rename file 'from' to file 'to'."),
        "files": ("files", "Files"),
        "action:copy": ("actions/copy", "Copy file 'from' to file 'to'."),
    }
    links: Document = {
        name: {"description": text, "href": f"{own}/{path}"} for name, (path, text) in words.items()
    }
    links["self"] = {"href": own}
    if job is not None:
        links["job"] = {"description": "Parent job", "href": f"{face.core}/jobs/{job.id}"}
    return {
        "owner": job.owner.short_dn if job else SERVER_DN,
        "umask": "027",
        "mountPoint": mount,
        "freeSpace": free,
        "_links": links,
        "resourceStatusMessage": "N/A",
        "description": "Job workspace" if job else key,
        "acl": [],
        "usableSpace": -1,
        "tags": [],
        "resourceStatus": "READY",
        "metadataSupported": False,
        "filesystemDescription": "UNICORE TSI at 127.0.0.1",
        "protocols": ["BFT"],
    }


def file_document(face: SiteFace, key: str, facts: FileFacts) -> Document:
    """GET storages/ID/files/PATH of a file."""
    parent = {"description": "Parent Storage", "href": f"{face.core}/storages/{key}"}
    return {**_facts(facts), "metadata": {}, "_links": {"parentStorage": parent}}


def folder_document(
    face: SiteFace, key: str, path: str, facts: FileFacts, content: dict[str, FileFacts]
) -> Document:
    """GET storages/ID/files/PATH of a folder: the names are paths, those of folders end with /."""
    found = file_document(face, key, facts)
    top = path.rstrip("/")
    found["content"] = {
        f"{top}/{name}{'/' if item.is_folder else ''}": _facts(item)
        for name, item in content.items()
    }
    base = f"{face.core}/storages/{key}/files"
    count = len(content)
    found["_links"]["self"] = {"href": f"{base}?offset=0&num={count}"}
    found["_links"]["next"] = {"href": f"{base}?offset={count}&num={count}"}
    return found


def _facts(facts: FileFacts) -> Document:
    return {
        "owner": facts.owner,
        "size": facts.size,
        "permissions": facts.permissions,
        "lastAccessed": iso(facts.modified),
        "isDirectory": facts.is_folder,
        "group": facts.group,
    }


def _job_links(face: SiteFace, key: str) -> Document:
    own = f"{face.core}/jobs/{key}"
    links: Document = {
        name: {"description": text, "href": f"{own}/{path}"}
        for name, (path, text) in {
            "submitted": ("submitted", "Submitted job description"),
            "action:start": ("actions/start", "Start"),
            "action:restart": ("actions/restart", "Restart"),
            "details": ("details", "BSS job details"),
            "action:abort": ("actions/abort", "Abort"),
            "forwarding": ("forward-port", "Start port forwarding"),
        }.items()
    }
    links["self"] = {"href": own}
    links["workingDirectory"] = {
        "description": "Working directory",
        "href": f"{face.core}/storages/{key}-uspace",
    }
    links["parentTSS"] = {"description": "Parent TSS", "href": f"{face.core}/sites/{face.name}"}
    return links
