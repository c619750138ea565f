"""One check: an image by reference or file, a site by name, and the line that a run would use."""

from __future__ import annotations

from dataclasses import replace

from imagefactory.base.report import Report
from imagefactory.launch.launch_line import make_launch_line
from imagefactory.launch.lookup import find_image_side
from imagefactory.launch.preflight import Preflight, preflight
from imagefactory.launch.site_facts import side_of
from imagefactory.site import Launcher, Site, load_site


def check_launch(
    image: str,
    site: str,
    report: Report,
    *,
    launcher: str | None = None,
    ranks: int = 2,
    nodes: int | None = None,
) -> Preflight:
    """The verdict on an image at a site, before any queue; `launcher` is another srun plugin.

    Raises what the registry does for an image that is not there, UsageFault for an unknown site,
    ConfigurationFault for a record that contradicts its probe.
    """
    place = with_launcher(load_site(site), launcher)
    side, known = find_image_side(image, report), side_of(place)
    made = make_launch_line(
        side, place, known, "IMAGE.sif", ["PROGRAM"],
        ranks=ranks, nodes=nodes or min(place.nodes, ranks),
    )  # fmt: skip
    return preflight(side, known, made.launch, names=(image, place.name), line=made.text)


def with_launcher(site: Site, plugin: str | None) -> Site:
    """The site as if its record named another plugin of srun."""
    if plugin is None or site.launcher.kind != "srun":
        return site
    return replace(site, launcher=Launcher("srun", plugin, site.launcher.sharens))
