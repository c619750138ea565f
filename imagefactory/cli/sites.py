"""imagefactory sites."""

from __future__ import annotations

import click

from imagefactory.cli.session import Session, verb


@click.command()
@click.argument("name", required=False)
@click.option(
    "--sources", is_flag=True, help="What is shipped of NAME, each value with its source."
)
@verb()
def sites(session: Session, name: str | None, sources: bool) -> None:
    """List the sites that a tag can be run at, or show the record of one.

    \b
    Example: imagefactory sites jusuf --sources
    """
    from imagefactory.site import list_sites, load_site, shipped_records

    if sources:
        _show_sources(session, name)
        return
    if name:
        site = load_site(name)
        session.show(site, _line(site))
        return
    chosen = list_sites()
    lines = [_line(site) for site in chosen]
    known = {site.name for site in chosen}
    lines += [
        f"{record.name:12} not yet: what is missing says `imagefactory sites {record.name}`"
        for record in shipped_records().values()
        if record.name not in known
    ]
    session.show(chosen, "\n".join(lines))


def _line(site: object) -> str:
    from imagefactory.site import Site

    assert isinstance(site, Site)  # noqa: S101 - the room gives nothing else
    return (
        f"{site.name:12} {site.launcher.kind} {site.launcher.plugin:6} "
        f"{site.access.where:28} {site.description}"
    )


def _show_sources(session: Session, name: str | None) -> None:
    from imagefactory.base.errors import UsageFault, nearest
    from imagefactory.site import own_record, shipped_records

    known = shipped_records()
    record = known.get((name or "").lower())
    if record is None:
        raise UsageFault(
            f"there is no shipped record of a site {name!r}" if name else "--sources needs a site",
            fix=nearest(name or "", known),
        )
    lines = [f"{record.description}; yours, where there is one: {own_record(record.name)}"]
    lines += [
        f"{value.key:20} {'(unknown, or yours)' if value.value is None else value.value}"
        + (f"  [{value.source}; {value.date}]" if value.source else "")
        for value in record.values
    ]
    session.show(record, "\n".join(lines))
