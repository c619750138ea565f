"""imagefactory site check, imagefactory site probe, imagefactory site bench."""

from __future__ import annotations

import sys

import click

from imagefactory.cli.session import Session, verb

# As base/errors.py has them: 3 the answer is no, 9 there is none.
_EXIT = {"FAIL": 3, "UNKNOWN": 9}


@click.group()
def site() -> None:
    """What a site is like, and whether an image starts there, before any queue.

    \b
    Example: imagefactory site check oras://127.0.0.1:5000/demo/nest:3.10 --site bookworm
    """


@site.command()
@click.argument("image")
@click.option("--site", "name", required=True, help="A site of `imagefactory sites`.")
@click.option("--launcher", metavar="PLUGIN", help="Another plugin of srun than the record's.")
@click.option("--ranks", default=2, show_default=True, help="MPI processes in all.")
@click.option("--nodes", type=int, help="Nodes to spread them over (default: the site's).")
@click.option("--all", "every", is_flag=True, help="Show what is right, too.")
@verb()
def check(
    session: Session,
    image: str,
    name: str,
    launcher: str | None,
    ranks: int,
    nodes: int | None,
    every: bool,
) -> None:
    """Say whether IMAGE (oras://... or a SIF file) starts at a site: PASS, WARN, UNKNOWN or FAIL.

    From facts alone, without a job. Exit status 3 for FAIL, 9 for UNKNOWN, else 0.

    \b
    Example: imagefactory site check nest.sif --site bookworm --all
    """
    from imagefactory.launch import check_launch

    result = check_launch(image, name, session.report, launcher=launcher, ranks=ranks, nodes=nodes)
    session.show(result, "\n".join(result.lines(every)))
    sys.exit(_EXIT.get(str(result.verdict), 0))


@site.command()
@click.argument("name")
@verb()
def probe(session: Session, name: str) -> None:
    """Ask a site, by one small job of two ranks, what decides whether MPI starts in a container.

    The answers are kept, and used by `site check` and `run`. Nothing is installed at the site.

    \b
    Example: imagefactory site probe bookworm
    """
    from imagefactory.launch import probe_site
    from imagefactory.run import open_shell
    from imagefactory.site import load_site

    chosen = load_site(name)
    with open_shell(chosen.access, session.report) as shell:
        probed = probe_site(chosen, shell)
    session.show(probed, "\n".join(probed.lines()))


@site.command()
@click.argument("image")
@click.option("--site", "name", required=True, help="A site of `imagefactory sites`.")
@click.option("--module", default="numpy", show_default=True, help='Its import is timed; "": none.')
@click.option("--reset", is_flag=True, help="Set the site's floors anew, from this benchmark.")
@verb()
def bench(session: Session, image: str, name: str, module: str, reset: bool) -> None:
    """Measure two ranks of IMAGE at a site: latency, bandwidth, MPI_Init, import, start; in the
    image and on the host, with the lanes that the MPI library names.

    The first benchmark of a site sets its floor. Exit status 3 where the image is below it.

    \b
    Example: imagefactory site bench nest.sif --site here
    """
    from imagefactory.run import bench_site

    result = bench_site(image, name, session.report, module=module, reset=reset)
    session.show(result, "\n".join(result.lines()))
    sys.exit(_EXIT.get(str(result.verdict), 0))
