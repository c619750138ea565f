"""The rows of the double: jobs, quotas, collabs; and the two ways in which a job is told."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

STATUSES = ("submitted", "validated", "running", "mapped", "finished", "error", "removed")
SPINNAKER_HOST = "spinnaker.cs.man.ac.uk"
# The test quota of a collab's first job, as the real service gives it.
TEST_QUOTAS = {
    "SpiNNaker": (5000.0, "core-hours"),
    "BrainScaleS-2": (1.0, "chip-hours"),
    "Demo": (1.0, "hours"),
}


def now() -> datetime:
    """This moment in UTC."""
    return datetime.now(UTC)


def for_users(moment: datetime | None) -> str | None:
    """2026-11-23T01:45:57.388789Z"""
    return None if moment is None else f"{moment:%Y-%m-%dT%H:%M:%S.%f}Z"


def for_providers(moment: datetime | None) -> str | None:
    """2026-11-23T01:45:57.388789+00:00"""
    return None if moment is None else f"{moment:%Y-%m-%dT%H:%M:%S.%f}+00:00"


@dataclass
class Job:
    """One job, as the real service's table has it; `output` are data items."""

    id: int
    user: str
    code: str
    command: str
    collab: str
    platform: str
    config: dict[str, Any] | None
    inputs: list[dict[str, Any]]
    tags: list[str]
    status: str = "submitted"
    submitted: datetime = field(default_factory=now)
    completed: datetime | None = None
    log: str = ""
    provenance: dict[str, Any] | None = None
    usage: float | None = None
    units: str = "core-hours"
    output: list[dict[str, Any]] = field(default_factory=list)
    comments: list[dict[str, Any]] = field(default_factory=list)

    def accepted(self) -> dict[str, Any]:
        """The 12 keys of the reply to a submission (recorded: post_job_ok)."""
        return {
            "code": self.code,
            "command": self.command,
            "collab": self.collab,
            "input_data": self.inputs,
            "hardware_platform": self.platform,
            "hardware_config": self.config,
            "tags": sorted(self.tags),
            "id": self.id,
            "user_id": self.user,
            "status": self.status,
            "timestamp_submission": for_users(self.submitted),
            "resource_uri": f"/jobs/{self.id}",
        }

    def told(self, *, log: bool = False, comments: bool = False) -> dict[str, Any]:
        """The 18 keys that users see (recorded: get_job_submitted)."""
        usage = None if self.usage is None else {"value": self.usage, "units": self.units}
        return self.accepted() | {
            "output_data": output_told(self.output),
            "provenance": self.provenance,
            "timestamp_completion": for_users(self.completed),
            "resource_usage": usage,
            "comments": list(self.comments) if comments and self.comments else None,
            "log": (self.log or None) if log else None,
        }

    def row(self) -> dict[str, Any]:
        """What a provider's PUT is answered with (recorded: put_finished_ok)."""
        return {
            "id": self.id,
            "code": self.code,
            "command": self.command,
            "collab_id": self.collab,
            "user_id": self.user,
            "status": self.status,
            "hardware_platform": self.platform,
            "hardware_config": json.dumps(self.config) if self.config else None,
            "timestamp_submission": for_providers(self.submitted),
            "timestamp_completion": for_providers(self.completed),
            "provenance": json.dumps(self.provenance) if self.provenance else None,
            "resource_usage": self.usage,
            "input_data": self.inputs,
            "output_data": self.output,
            "tags": sorted(self.tags),
        }


def output_told(items: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Output as users see it: a path that was not given is made from the address, and on the
    SpiNNaker host it loses its first letter (recorded: put_url_only_spinnaker_host)."""
    if not items:
        return None
    at_spinnaker = urlsplit(str(items[0]["url"])).hostname == SPINNAKER_HOST
    name = "SpiNNaker Manchester temporary storage" if at_spinnaker else "unknown data repository"
    files = [
        {
            "url": item["url"],
            "path": item["path"] if item["path"] is not None else _derived(str(item["url"])),
            "content_type": item["content_type"],
            "size": item["size"],
            "hash": item["hash"],
        }
        for item in items
    ]
    return {"repository": name, "files": files}


def _derived(url: str) -> str | None:
    parts = urlsplit(url)
    _, found, path = parts.path.partition("/services/rest/output/")
    return path[1:] if found and parts.hostname == SPINNAKER_HOST else None


@dataclass
class Quota:
    """How much of a platform a collab may use, and has used; `project` is its project's id."""

    number: int
    collab: str
    platform: str
    limit: float
    units: str
    owner: str
    usage: float = 0.0
    project: str = field(default_factory=lambda: str(uuid.uuid4()))
    made: datetime = field(default_factory=now)

    def told(self) -> dict[str, Any]:
        """One quota (recorded: quotas_get)."""
        place = f"/projects/{self.project}"
        return {
            "limit": self.limit,
            "usage": self.usage,
            "platform": self.platform,
            "units": self.units,
            "project": place,
            "resource_uri": f"{place}/quotas/{self.number}",
        }

    def project_told(self) -> dict[str, Any]:
        """Its project (recorded: projects_list_accepted)."""
        what = f"{self.platform} platform"
        return {
            "collab": self.collab,
            "title": f"Test access for the {what} in collab '{self.collab}'",
            "abstract": f"A test quota for the {what}, made with the first job of the collab.",
            "description": "",
            "status": "accepted",
            "id": self.project,
            "owner": self.owner,
            "submission_date": f"{self.made:%Y-%m-%d}",
            "decision_date": f"{self.made:%Y-%m-%d}",
            "resource_uri": f"/projects/{self.project}",
            "quotas": [self.told()],
        }


@dataclass
class Store:
    """All rows; `lock` is held around whatever changes them."""

    jobs: dict[int, Job] = field(default_factory=dict)
    quotas: list[Quota] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    def add(self, user: str, body: Mapping[str, Any]) -> Job:
        """A new job, submitted; text fields that are missing are empty."""
        with self.lock:
            platform = str(body["hardware_platform"])
            job = Job(
                id=142973 + len(self.jobs),
                user=user,
                code=body["code"],
                command=body.get("command") or "",
                collab=body["collab"],
                platform=platform,
                config=body.get("hardware_config") or None,
                inputs=list(body.get("input_data") or []),
                tags=list(body.get("tags") or []),
                units=TEST_QUOTAS[platform][1],
            )
            self.jobs[job.id] = job
            return job

    def quota(self, collab: str, platform: str, owner: str) -> Quota | None:
        """The quota, made on first use as the real service does; None for unknown platforms."""
        with self.lock:
            for quota in self.quotas:
                if (quota.collab, quota.platform) == (collab, platform):
                    return quota
            if platform not in TEST_QUOTAS:
                return None
            limit, units = TEST_QUOTAS[platform]
            self.quotas.append(Quota(len(self.quotas) + 1, collab, platform, limit, units, owner))
            return self.quotas[-1]

    def newest(self) -> list[Job]:
        """All jobs that are not removed, the newest first."""
        with self.lock:
            return [job for job in reversed(self.jobs.values()) if job.status != "removed"]
