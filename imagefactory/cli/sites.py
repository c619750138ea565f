"""imagefactory sites."""

from __future__ import annotations

import click

from imagefactory.cli.session import Session, verb


@click.command()
@click.argument("name", required=False)
@verb()
def sites(session: Session, name: str | None) -> None:
    """List the sites that a tag can be run at, or show the record of one.

    \b
    Example: imagefactory sites bookworm --json
    """
    from imagefactory.site import list_sites, load_site

    chosen = [load_site(name)] if name else list_sites()
    lines = [
        f"{site.name:12} {site.launcher.kind} {site.launcher.plugin:6} "
        f"{site.access.where:28} {site.description}"
        for site in chosen
    ]
    session.show(chosen[0] if name else chosen, "\n".join(lines))
