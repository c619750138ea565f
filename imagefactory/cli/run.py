"""imagefactory run; imagefactory runs show|watch|fetch|cancel|resume."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from imagefactory.base.errors import UsageFault
from imagefactory.base.report import clock
from imagefactory.cli.session import Session, verb

_TYPED = click.core.ParameterSource.COMMANDLINE


def _overrides(pairs: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise UsageFault(f"--set {pair!r} sets nothing", fix=f"--set {name}=VALUE")
        found[name] = value
    return found


_WHERE = (
    click.argument("image"),
    click.option("--site", required=True, help="A site of `imagefactory sites`."),
)
_WHAT = (
    click.option(
        "--model", default="balanced-random", show_default=True, help="The network to run."
    ),
    click.option(
        "--backend", default="nest", show_default=True, help="The simulator, of those of the model."
    ),
    click.option("--ranks", default=2, show_default=True, help="MPI processes in all."),
    click.option("--threads", default=1, show_default=True, help="Threads of each rank."),
    click.option("--nodes", type=int, help="Nodes to spread them over (default: the site's)."),
    click.option("--seed", type=int, help="Short for --set seed=N."),
    click.option(
        "--set", "pairs", multiple=True, metavar="NAME=VALUE", help="Set a model parameter."
    ),
)


def run_options(function: Callable[..., None]) -> Callable[..., None]:
    """What says which run is meant, for every verb that plans one."""
    function = model_options(function)
    for option in reversed(_WHERE):
        function = option(function)
    return function


def model_options(function: Callable[..., None]) -> Callable[..., None]:
    """The same without image and site."""
    for option in reversed(_WHAT):
        function = option(function)
    return function


def frozen_option(function: Callable[..., None]) -> Callable[..., None]:
    """--frozen, which is no parameter of its own."""
    return click.option(
        "--frozen",
        is_flag=True,
        help="Short for --set frozen=true: all that is random is drawn here; one network for all.",
    )(function)


def overrides_of(
    seed: int | None, pairs: tuple[str, ...], *, frozen: bool = False
) -> dict[str, str]:
    """The model's parameters that --seed, --set and --frozen give."""
    found = _overrides(pairs) | ({"seed": str(seed)} if seed is not None else {})
    return found | ({"frozen": "true"} if frozen else {})


@click.command()
@click.argument("image", required=False)
@click.option("--site", required=True, help="A site of `imagefactory sites`, or a job queue.")
@model_options
@click.option(
    "--collab", metavar="NAME", help="With the backend spinnaker: the EBRAINS collab that pays."
)
@click.option(
    "--via",
    type=click.Choice(["shell", "unicore"]),
    help="What carries it (default: the site's access).",
)
@click.option(
    "--mode",
    type=click.Choice(["batch", "raw", "login"]),
    default="batch",
    show_default=True,
    help="With unicore: how it tracks the job, see `job show`.",
)
@click.option(
    "--seeds", type=click.IntRange(1), metavar="N", help="N runs, which differ by their seed alone."
)
@frozen_option
@click.option("--detach", is_flag=True, help="End when the job is started; later: runs watch.")
@click.option(
    "--module", type=click.Path(path_type=Path),
    help="The folder of a module, by `model build` (default: built where the model needs one).",
)  # fmt: skip
@click.option("--force", is_flag=True, help="Run although the pre-flight fails; it is recorded.")
@verb(dry_run=True)
def run(
    session: Session,
    image: str | None,
    site: str,
    model: str,
    backend: str,
    ranks: int,
    threads: int,
    nodes: int | None,
    seed: int | None,
    pairs: tuple[str, ...],
    collab: str | None,
    via: str | None,
    mode: str,
    seeds: int | None,
    frozen: bool,
    detach: bool,
    module: Path | None,
    force: bool,
) -> None:
    """Run a model from IMAGE (oras://...; on the site `here` also a SIF file) at a site.

    The run's id is the first line of the output; with --seeds, the ids of all, joined by commas:
    a side for `imagefactory compare`.

    With --backend spinnaker there is no IMAGE: the run goes to the neuromorphic job queue (NMPI)
    that --site names, for the collab that --collab names.

    \b
    Example: imagefactory run oras://127.0.0.1:5000/demo/nest:3.10 --site bookworm --ranks 2
    """
    from imagefactory import run as room

    overrides = overrides_of(seed, pairs, frozen=frozen)
    if backend == "spinnaker":
        if any(word is not None for word in (image, seeds, via, module)):
            raise UsageFault("a run on SpiNNaker takes no IMAGE, --seeds, --via or --module")
        _run_on_queue(session, site, model, collab, overrides, detach=detach)
        return
    if image is None:
        raise UsageFault("there is no IMAGE", fix="give oras://..., or --backend spinnaker")
    if collab is not None:
        raise UsageFault("--collab is for SpiNNaker", fix="--backend spinnaker")
    plan = room.plan_run(
        image, site, model, report=session.report, via=room.Via(via) if via else None,
        ranks=ranks, threads=threads, nodes=nodes,
        overrides=overrides, backend=backend, force=force,
        module=module,
    )  # fmt: skip
    if seeds is not None:
        first = int(plan.parameters["seed"])
        ensemble = room.spread(plan, range(first, first + seeds))
        _run_all(session, ensemble, room.Mode(mode), detach=detach)
        return
    if session.dry_run:
        session.show_plan(plan)
        return
    record = room.execute(plan, session.report, room.Mode(mode), detach=detach)
    if detach:
        session.show(record, f"{record.id}\nlater: imagefactory runs watch {record.id}")
        return
    _show_finished(session, record)


def _run_on_queue(
    session: Session,
    queue: str,
    model: str,
    collab: str | None,
    overrides: dict[str, str],
    *,
    detach: bool,
) -> None:
    from imagefactory import run as room

    source = click.get_current_context().get_parameter_source
    given = [name for name in ("ranks", "threads", "nodes") if source(name) == _TYPED]
    if given:
        raise UsageFault(f"a run on SpiNNaker has no --{given[0]}: the machine is mapped by itself")
    if collab is None:
        raise UsageFault("a run on SpiNNaker is for a collab", fix="--collab NAME")
    plan = room.plan_nmpi(queue, model, collab, overrides)
    if session.dry_run:
        session.show_plan(plan)
        return
    record = room.execute(plan, session.report, detach=detach)
    if detach:
        session.show(record, f"{record.id}\nlater: imagefactory runs watch {record.id}")
        return
    _show_finished(session, record)


def _run_all(session: Session, plan: Any, mode: Any, *, detach: bool) -> None:
    from imagefactory import run as room

    if session.dry_run:
        session.show_plan(plan)
        return
    records = room.execute_ensemble(plan, session.report, mode, detach=detach)
    ids = ",".join(record.id for record in records)
    later = [f"later: imagefactory runs watch {ids}"] if detach else []
    session.show(records, "\n".join([ids, *map(_line, records), *later]))


def _show_finished(session: Session, record: Any) -> None:
    spikes, geometry = record.spikes or {}, record.geometry
    pmix = f"PMIx server {record.pmix.get('server')}, client {record.pmix.get('client')}"
    if record.job.get("via") == "nmpi":
        pmix = f"ran as {record.backend} at {record.site}, job {record.job['id']}"
    lines = [
        record.id,
        f"{spikes.get('count')} spikes, {spikes.get('digest')}",
        f"{geometry['ranks']} ranks x {geometry['threads']} threads on {geometry['nodes']} nodes; "
        f"{pmix}",
        f"record: {record.folder}",
    ]
    session.show(record, "\n".join(lines))


class RunsGroup(click.Group):
    """`runs` and `runs RUN` are short for `runs show`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] not in {"-h", "--help"}):
            args = ["show", *args]
        return super().parse_args(ctx, args)


@click.group(cls=RunsGroup)
def runs() -> None:
    """The runs so far; and what can be done with one that another process began.

    \b
    Example: imagefactory runs --json
    Example: imagefactory runs RUN
    """


@runs.command()
@click.argument("run_id", required=False)
@click.option("--gdf", type=click.Path(path_type=Path), help="Write its spikes as NEST's text.")
@verb()
def show(session: Session, run_id: str | None, gdf: Path | None) -> None:
    """List the runs so far, or show the record of one.

    \b
    Example: imagefactory runs show --json
    """
    from imagefactory import run as room

    if run_id is None:
        records = room.list_records()
        session.show(records, "\n".join(_line(record) for record in records) or "no runs yet")
        return
    record = room.read_record(run_id)
    if gdf is not None:
        from imagefactory.model import open_spikes, write_gdf

        write_gdf(open_spikes(record.folder / "spikes.npz"), gdf)
        session.report.note(f"spikes: {gdf}")
    lines = [_line(record), *(f"{key}: {value}" for key, value in vars(record).items() if value)]
    session.show(record, "\n".join(lines))


@runs.command()
@click.argument("run_id")
@verb()
def watch(session: Session, run_id: str) -> None:
    """Wait for a run's job, fetch and judge it. RUN may be several, joined by commas.

    \b
    Example: imagefactory runs watch RUN
    """
    from imagefactory import run as room

    _for_each(session, run_id, room.watch)


@runs.command()
@click.argument("run_id")
@verb()
def fetch(session: Session, run_id: str) -> None:
    """Fetch and judge a run whose job is over; does not wait.

    \b
    Example: imagefactory runs fetch RUN
    """
    from imagefactory import run as room

    _for_each(session, run_id, room.fetch)


@runs.command()
@click.argument("run_id")
@verb()
def cancel(session: Session, run_id: str) -> None:
    """Cancel a run's job.

    \b
    Example: imagefactory runs cancel RUN
    """
    from imagefactory import run as room

    records = [room.cancel(run, session.report) for run in _runs_of(run_id)]
    lines = "\n".join(f"{record.id} {record.state}" for record in records)
    session.show(records[0] if len(records) == 1 else records, lines)


@runs.command()
@click.argument("run_id")
@verb()
def resume(session: Session, run_id: str) -> None:
    """Go on with a run whose client ended, even between two requests; with a newer token too.

    \b
    Example: imagefactory runs resume RUN
    """
    from imagefactory import run as room

    _for_each(session, run_id, room.resume)


def _runs_of(text: str) -> list[str]:
    """RUN, or several joined by commas."""
    runs = [run for run in text.split(",") if run]
    if not runs:
        raise UsageFault("there is no run", where=repr(text), fix="imagefactory runs")
    return runs


def _for_each(session: Session, text: str, work: Callable[..., Any]) -> None:
    records = [work(run, session.report) for run in _runs_of(text)]
    if len(records) == 1:
        _show_finished(session, records[0])
    else:
        session.show(records, "\n".join(map(_line, records)))


def _line(record: object) -> str:
    from imagefactory.run import RunRecord

    assert isinstance(record, RunRecord)  # noqa: S101 - the room gives nothing else
    shape = f"{record.geometry['ranks']}x{record.geometry['threads']}"
    count = f"{record.spikes['count']} spikes" if record.spikes else "no spikes"
    took = clock(sum(record.timings.get(name, 0.0) for name in ("stage_s", "job_s", "run_s")))
    return f"{record.id:52} {record.state:10} {shape:5} {count:14} {took}"
