"""imagefactory run, imagefactory runs."""

from __future__ import annotations

from pathlib import Path

import click

from imagefactory.base.errors import UsageFault
from imagefactory.base.report import clock
from imagefactory.cli.session import Session, verb


def _overrides(pairs: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise UsageFault(f"--set {pair!r} sets nothing", fix=f"--set {name}=VALUE")
        found[name] = value
    return found


@click.command()
@click.argument("image")
@click.option("--site", required=True, help="A site of `imagefactory sites`.")
@click.option("--model", default="balanced-random", show_default=True, help="The network to run.")
@click.option("--ranks", default=2, show_default=True, help="MPI processes in all.")
@click.option("--threads", default=1, show_default=True, help="Threads of each rank.")
@click.option("--nodes", type=int, help="Nodes to spread them over (default: the site's).")
@click.option("--seed", type=int, help="Short for --set seed=N.")
@click.option("--set", "pairs", multiple=True, metavar="NAME=VALUE", help="Set a model parameter.")
@verb(dry_run=True)
def run(
    session: Session,
    image: str,
    site: str,
    model: str,
    ranks: int,
    threads: int,
    nodes: int | None,
    seed: int | None,
    pairs: tuple[str, ...],
) -> None:
    """Run a model from IMAGE (oras://...; on the site `here` also a SIF file) at a site.

    The run's id is the first line of the output.

    \b
    Example: imagefactory run oras://127.0.0.1:5000/demo/nest:3.10 --site bookworm --ranks 2
    """
    from imagefactory import run as room

    overrides = _overrides(pairs) | ({"seed": str(seed)} if seed is not None else {})
    plan = room.plan_run(
        image, site, model, report=session.report,
        ranks=ranks, threads=threads, nodes=nodes, overrides=overrides,
    )  # fmt: skip
    if session.dry_run:
        session.show_plan(plan)
        return
    record = room.execute(plan, session.report)
    spikes = record.spikes or {}
    pmix = f"PMIx server {record.pmix.get('server')}, client {record.pmix.get('client')}"
    lines = [
        record.id,
        f"{spikes.get('count')} spikes, {spikes.get('digest')}",
        f"{ranks} ranks x {threads} threads on {record.geometry['nodes']} nodes; {pmix}",
        f"record: {record.folder}",
    ]
    session.show(record, "\n".join(lines))


@click.command()
@click.argument("run_id", required=False)
@click.option("--resume", is_flag=True, help="Go on waiting for the job of this run.")
@click.option("--gdf", type=click.Path(path_type=Path), help="Write its spikes as NEST's text.")
@verb()
def runs(session: Session, run_id: str | None, resume: bool, gdf: Path | None) -> None:
    """List the runs so far, or show the record of one.

    \b
    Example: imagefactory runs --json
    """
    from imagefactory import run as room

    if run_id is None:
        records = room.list_records()
        session.show(records, "\n".join(_line(record) for record in records) or "no runs yet")
        return
    record = room.resume(run_id, session.report) if resume else room.read_record(run_id)
    if gdf is not None:
        from imagefactory.model import open_spikes, write_gdf

        write_gdf(open_spikes(record.folder / "spikes.npz"), gdf)
        session.report.note(f"spikes: {gdf}")
    lines = [_line(record), *(f"{key}: {value}" for key, value in vars(record).items() if value)]
    session.show(record, "\n".join(lines))


def _line(record: object) -> str:
    from imagefactory.run import RunRecord

    assert isinstance(record, RunRecord)  # noqa: S101 - the room gives nothing else
    shape = f"{record.geometry['ranks']}x{record.geometry['threads']}"
    count = f"{record.spikes['count']} spikes" if record.spikes else "no spikes"
    took = clock(sum(record.timings.get(name, 0.0) for name in ("stage_s", "job_s", "run_s")))
    return f"{record.id:52} {record.state:10} {shape:5} {count:14} {took}"
