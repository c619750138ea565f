"""The store of images at a site: what is in it, what no run needs any more."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from imagefactory.base.errors import FactoryError, ServiceAway, ToolFailed
from imagefactory.base.process import Done
from imagefactory.base.report import Report, size
from imagefactory.run.job import Via
from imagefactory.run.plan import decide_way
from imagefactory.run.remote import Link, open_link, run_on_login_node
from imagefactory.run.shell import open_shell
from imagefactory.run.staging import MARK, stage_one_script
from imagefactory.site import Site

CLEAN_SECONDS = 1800.0
DAYS = 30


@dataclass(frozen=True)
class StoredImage:
    """An image in a store: sha256 of the SIF (64 digits), bytes, the day of its last staging
    (YYYY-MM-DD), what becomes of it (kept, unused, removed), and why it is kept."""

    sif: str
    bytes: int
    used: str
    state: str
    why: str = ""

    def line(self) -> str:
        """For people."""
        why = f" ({self.why})" if self.why else ""
        return f"sha256:{self.sif}  {size(self.bytes):>9}  used {self.used}  {self.state}{why}"


def clean_store(
    site: Site,
    report: Report,
    *,
    days: int = DAYS,
    remove: bool = False,
    via: Via | None = None,
    link: Link | None = None,
) -> list[StoredImage]:
    """Look through a site's store; with `remove`, images that no run was staged for in `days` days
    and no job in the site's queue needs are removed.

    Raises ToolFailed where Slurm cannot be asked which jobs there are: nothing is removed then.
    """
    words = ["clean", site.store, str(days), site.scheduler.kind, "remove" if remove else "show"]
    with report.step(f"the store of {site.name}: {site.store}"):
        if decide_way(site, via) is Via.UNICORE:
            link = link or open_link(site, report)
            files = {"stage_one.sh": stage_one_script()}
            done = run_on_login_node(link, "imagefactory.store", files, words, report)
        else:
            with open_shell(site.access, report) as shell:
                done = shell.run(stage_one_script(), *words, timeout=CLEAN_SECONDS)
    if done.status:
        raise _explain(done, site)
    return list(_images(done.output))


def _images(output: str) -> Iterator[StoredImage]:
    for line in output.splitlines():
        words = line.removeprefix(MARK).split(maxsplit=4)
        if len(words) >= 4 and words[0] in {"kept", "unused", "removed"} and words[2].isdigit():
            state, sif, bytes_, day, *why = words
            yield StoredImage(sif, int(bytes_), day, state, *why)


def _explain(done: Done, site: Site) -> FactoryError:
    said = done.errors.strip().splitlines() or [f"exit status {done.status}"]
    kind = ServiceAway if done.status == 19 else ToolFailed
    return kind(said[-1], where=f"{site.name}: {site.store}", detail="\n".join(said[:-1][-5:]))
