"""imagefactory store."""

from __future__ import annotations

import click

from imagefactory.cli.session import Session, verb


@click.command()
@click.argument("site")
@click.option("--remove", is_flag=True, help="Remove what is unused; else it is only shown.")
@click.option(
    "--unused-for", "days", type=click.IntRange(0), default=30, show_default=True, metavar="DAYS",
    help="Unused is an image that no run was staged for in so many days.",
)  # fmt: skip
@click.option("--via", type=click.Choice(["shell", "unicore"]), help="How to get to the site.")
@verb()
def store(session: Session, site: str, remove: bool, days: int, via: str | None) -> None:
    """List the images in a site's store, with their last use; remove what no run needs.

    An image that a queued or running job needs is never removed, however old it is.

    \b
    Example: imagefactory store bookworm --unused-for 90 --remove
    """
    from imagefactory import run as room
    from imagefactory.site import load_site

    images = room.clean_store(
        load_site(site), session.report, days=days, remove=remove,
        via=room.Via(via) if via else None,
    )  # fmt: skip
    session.show(images, "\n".join(image.line() for image in images) or "the store is empty")
